// Phone numbers: search, purchase, release.

import { all, call, operate } from "./client";
import type { AccessKey } from "./signature";

const VERSION = "api-version=2025-06-01";

export type NumberType = "geographic" | "tollFree";
export type Capability = "none" | "inbound" | "outbound" | "inbound+outbound";

export interface Capabilities {
  calling: Capability;
  sms: Capability;
}

export interface Cost {
  amount: number;
  currencyCode: string;
  billingFrequency: string;
}

export interface Owned {
  id: string;
  phoneNumber: string;
  phoneNumberType: NumberType;
  capabilities: Capabilities;
  purchaseDate: string;
  cost: Cost;
}

export interface Available {
  id: string;
  phoneNumber: string;
  phoneNumberType: NumberType;
  capabilities: Capabilities;
  cost: Cost;
}

export interface Wanted {
  country: string;
  type: NumberType;
  capabilities: Capabilities;
  /** Digits that the number begins with after the country code: an area code, or more. */
  prefix: string;
}

export function owned(key: AccessKey): Promise<Owned[]> {
  return all<Owned>(key, `/phoneNumbers?${VERSION}&skip=0&top=100`, "phoneNumbers");
}

export async function browse(key: AccessKey, wanted: Wanted): Promise<Available[]> {
  const body: Record<string, unknown> = {
    phoneNumberType: wanted.type,
    assignmentType: "application",
    capabilities: wanted.capabilities,
  };
  if (wanted.prefix) body["phoneNumberPrefixes"] = [`1${wanted.prefix}`];
  const target = `/availablePhoneNumbers/countries/${encodeURIComponent(wanted.country)}/:browse?${VERSION}`;
  return (await call<{ phoneNumbers: Available[] }>(key, "POST", target, body)).phoneNumbers;
}

/** Reserves one number that was browsed, and buys it. */
export async function buy(key: AccessKey, number: Available): Promise<void> {
  const reservation = crypto.randomUUID();
  const target = `/availablePhoneNumbers/reservations/${reservation}`;
  const patch = { phoneNumbers: { [number.id]: number } };
  const held = await call<{ phoneNumbers: Record<string, { status: string; error?: { message: string } }> }>(
    key, "PATCH", `${target}?${VERSION}`, patch,
  );
  const mine = held.phoneNumbers[number.id];
  if (mine?.status !== "reserved") throw new Error(mine?.error?.message ?? "Somebody else was faster.");
  await operate(key, "POST", `${target}/:purchase?${VERSION}`, { agreeToNotResell: true });
}

export async function release(key: AccessKey, phoneNumber: string): Promise<void> {
  await operate(key, "DELETE", `/phoneNumbers/${encodeURIComponent(phoneNumber)}?${VERSION}`);
}

export async function setCapabilities(key: AccessKey, phoneNumber: string, capabilities: Capabilities): Promise<void> {
  const target = `/phoneNumbers/${encodeURIComponent(phoneNumber)}/capabilities?${VERSION}`;
  await operate(key, "PATCH", target, capabilities);
}
