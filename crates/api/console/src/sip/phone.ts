// The softphone: one registration, and the calls of this page.

import { signal } from "@preact/signals";
import { UA } from "jssip";
import type { RTCSessionEvent } from "jssip/lib/UA";
import { Call } from "./call";
import { sipSocket } from "./socket";
import type { Claims } from "./token";

export type Registration = "connecting" | "registered" | "refused" | "offline";

/** Calls that the history of this page keeps. */
const HISTORY_MAX = 100;

/** The user part of the address of record: what follows `8:acs:`, as a colon would begin a password in a URI. */
export function addressOf(user: string): string {
  return user.replace(/^8:acs:/, "");
}

export class Phone {
  readonly registration = signal<Registration>("connecting");
  /** Why it is not registered, in words. */
  readonly trouble = signal("");
  /** Every call of this page, the newest first. */
  readonly calls = signal<readonly Call[]>([]);
  private readonly ua: UA;

  constructor(
    token: string,
    readonly claims: Claims,
  ) {
    this.ua = new UA({
      sockets: sipSocket(),
      uri: `sip:${addressOf(claims.user)}@${location.hostname}`,
      authorization_jwt: `Bearer ${token.trim()}`,
      session_timers: true,
      user_agent: "Trunkline console",
    });
    this.ua.on("connected", () => this.set("connecting", ""));
    this.ua.on("registered", () => this.set("registered", ""));
    this.ua.on("unregistered", () => this.set("offline", "Not registered."));
    this.ua.on("registrationFailed", ({ response, cause }) => {
      const status = response ? `${response.status_code} ${response.reason_phrase}` : String(cause ?? "");
      this.set("refused", `The registration was refused: ${status}.`);
    });
    this.ua.on("disconnected", () => this.set("offline", "No connection to the server; trying again."));
    this.ua.on("newRTCSession", ({ session, originator }: RTCSessionEvent) => {
      // Calls of our own making are taken up where they are made.
      if ((originator as string) === "remote") this.add(new Call(session, "in"));
    });
  }

  start(): void {
    this.ua.start();
  }

  stop(): void {
    this.ua.stop();
    this.set("offline", "Signed out.");
  }

  /** Calls a number or another user. */
  dial(target: string): Call {
    const options = { mediaConstraints: { audio: true, video: false } };
    const call = new Call(this.ua.call(`sip:${dialled(target)}@${location.hostname}`, options), "out");
    this.add(call);
    return call;
  }

  /** Calls that are not over. */
  active(): readonly Call[] {
    return this.calls.value.filter((call) => call.state.value !== "ended");
  }

  private set(registration: Registration, trouble: string): void {
    this.registration.value = registration;
    this.trouble.value = trouble;
  }

  private add(call: Call): void {
    this.calls.value = [call, ...this.calls.value].slice(0, HISTORY_MAX);
  }
}

/** What people type, as the user part of a SIP URI: `(425) 555-0100` and `425-555-0100` are +14255550100. */
export function dialled(text: string): string {
  const trimmed = text.trim();
  if (trimmed.startsWith("8:acs:")) return addressOf(trimmed);
  if (!/^\+?[\d\s().-]+$/.test(trimmed)) return trimmed;
  const digits = trimmed.replace(/\D/g, "");
  if (trimmed.startsWith("+")) return `+${digits}`;
  if (digits.length === 10) return `+1${digits}`;
  return digits.length === 11 && digits.startsWith("1") ? `+${digits}` : digits;
}
