// The SIP messages of each call as this browser sent and received them, for the ladder in the history.

import { signal } from "@preact/signals";

export interface Step {
  at: number;
  direction: "out" | "in";
  /** `INVITE`, `180 Ringing`. */
  label: string;
  method: string;
  text: string;
}

/** Calls whose messages are kept, oldest dropped first: a page that stays open for a week must not grow. */
const CALLS_MAX = 50;
/** Messages kept of one call; session refreshes of a long one are the first to be of no interest. */
const STEPS_MAX = 200;

export const traces = signal<ReadonlyMap<string, readonly Step[]>>(new Map());

/** Records one message, if it belongs to a call. */
export function record(direction: "out" | "in", text: string, at: number): void {
  const step = read(direction, text, at);
  if (!step) return;
  const next = new Map(traces.value);
  const steps = next.get(step.callId) ?? [];
  if (steps.length >= STEPS_MAX) return;
  next.set(step.callId, [...steps, step.step]);
  const oldest = next.keys().next().value;
  if (next.size > CALLS_MAX && oldest !== undefined) next.delete(oldest);
  traces.value = next;
}

export function read(direction: "out" | "in", text: string, at: number): { callId: string; step: Step } | null {
  const [first = ""] = text.split("\r\n", 1);
  const callId = /^(?:Call-ID|i)\s*:\s*(\S+)/im.exec(text)?.[1];
  const method = /^CSeq\s*:\s*\d+\s+(\S+)/im.exec(text)?.[1];
  if (!callId || !method || method === "REGISTER" || method === "OPTIONS") return null;
  const status = /^SIP\/2\.0 (\d{3} .*)$/.exec(first)?.[1];
  const label = status ?? first.split(" ", 1)[0] ?? "";
  return { callId, step: { at, direction, label, method, text: withoutSecrets(text) } };
}

function withoutSecrets(text: string): string {
  return text.replace(/^((?:Proxy-)?Authorization\s*:\s*).*$/gim, "$1(hidden)");
}
