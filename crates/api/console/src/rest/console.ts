// What the console asks beyond the ACS operations: `/console/…` of the same server, signed the same way.

import { call, send } from "./client";
import type { AccessKey } from "./signature";

export interface Leg {
  /** `caller` or `callee`. */
  side: string;
  codec: string;
  /** Since the leg began, like the loss beside it. */
  packetsReceived: number;
  packetsLost: number;
  /** The most at any report. */
  jitterMs: number;
  mos: number | null;
}

export interface LiveCall {
  id: string;
  from: string;
  to: string;
  startedAt: string;
  answeredAt: string | null;
  legs: Leg[];
}

export interface Charge {
  id: number;
  at: string;
  kind: string;
  number: string | null;
  amountMinor: number;
  currency: string;
  note: string;
}

export interface Statement {
  month: string;
  rows: Charge[];
  totalsMinor: Record<string, number>;
}

export interface Ruling {
  allowed: boolean;
  /** Each rule that was looked at, in order. */
  path: { rule: string; outcome: string }[];
}

export interface Text {
  id: string;
  direction: "in" | "out";
  from: string;
  to: string;
  body: string;
  at: string;
  state: string;
  detail: string | null;
  segments: number;
  carrier: string | null;
}

export async function liveCalls(key: AccessKey): Promise<LiveCall[]> {
  return (await call<{ calls: LiveCall[] }>(key, "GET", "/console/calls")).calls;
}

export function statement(key: AccessKey, month: string): Promise<Statement> {
  return call(key, "GET", `/console/statement?month=${encodeURIComponent(month)}`);
}

export function ruling(key: AccessKey, country: string, type: string, calling: string, sms: string): Promise<Ruling> {
  const query = new URLSearchParams({ country, phoneNumberType: type, calling, sms });
  return call(key, "GET", `/console/eligibility?${query.toString()}`);
}

export async function texts(key: AccessKey): Promise<Text[]> {
  return (await call<{ messages: Text[] }>(key, "GET", "/console/messages")).messages;
}

/** Who answers calls to a number: a user's raw id, or the resource's usual destination when null. */
export async function assign(key: AccessKey, phoneNumber: string, user: string | null): Promise<void> {
  await send(key, "PUT", `/console/numbers/${encodeURIComponent(phoneNumber)}/user`, { user });
}

export async function assignments(key: AccessKey): Promise<Record<string, string>> {
  return (await call<{ users: Record<string, string> }>(key, "GET", "/console/numbers/users")).users;
}
