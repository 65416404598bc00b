// The REST API as the resource's owner calls it from the page that the same server gave out.

import type { AccessKey } from "./signature";

/** A request that was refused. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

interface ErrorBody {
  error?: { code?: string; message?: string };
}

interface Operation {
  status: string;
  resourceLocation?: string | null;
  error?: { code?: string; message?: string };
}

/** How often an operation is looked at before it is given up, and the pause between two looks. */
const POLLS_MAX = 120;
const POLL_MS = 250;

/** Sends one signed request. */
export async function send(key: AccessKey, method: string, target: string, body?: unknown): Promise<Response> {
  const text = body === undefined ? "" : JSON.stringify(body);
  const headers = await key.headers(method, target, location.host, text, new Date());
  const type = method === "PATCH" ? "application/merge-patch+json" : "application/json";
  const init: RequestInit = { method, headers: { ...headers, "Content-Type": type }, credentials: "omit" };
  if (body !== undefined) init.body = text;
  const answer = await fetch(target, init);
  if (answer.ok) return answer;
  const error = ((await answer.json().catch(() => ({}))) as ErrorBody).error ?? {};
  throw new Refused(answer.status, error.code ?? String(answer.status), error.message ?? answer.statusText);
}

/** Sends a request and reads its answer. */
export async function call<T>(key: AccessKey, method: string, target: string, body?: unknown): Promise<T> {
  return (await send(key, method, target, body)).json() as Promise<T>;
}

/** Starts a long-running operation, and waits for its end. Returns where its result is, if it has one. */
export async function operate(key: AccessKey, method: string, target: string, body?: unknown): Promise<string | null> {
  const started = await send(key, method, target, body);
  const operation = started.headers.get("Operation-Location");
  if (!operation) throw new Refused(started.status, "NoOperation", "The server named no operation to wait for.");
  for (let poll = 0; poll < POLLS_MAX; poll += 1) {
    const state = await call<Operation>(key, "GET", operation);
    const status = state.status.toLowerCase();
    if (status === "succeeded") return state.resourceLocation ?? started.headers.get("Location");
    if (status === "failed") {
      throw new Refused(200, state.error?.code ?? "Failed", state.error?.message ?? "The operation failed.");
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Refused(200, "StillRunning", "The operation takes long; look at your numbers later.");
}

/** Reads every page of a list. */
export async function all<T>(key: AccessKey, target: string, field: string): Promise<T[]> {
  const items: T[] = [];
  let next: string | null = target;
  while (next) {
    const page: Record<string, unknown> = await call(key, "GET", next);
    items.push(...((page[field] as T[] | undefined) ?? []));
    const link: unknown = page["nextLink"];
    next = typeof link === "string" && link ? pathOf(link) : null;
  }
  return items;
}

function pathOf(link: string): string {
  const url = new URL(link, location.href);
  return url.pathname + url.search;
}
