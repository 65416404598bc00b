// Who is signed in: a user of the phone by a token, an owner of the resource by its access key, or both.
//
// Neither is kept anywhere but in memory: closing the page signs out.

import { signal } from "@preact/signals";
import { AccessKey } from "./rest/signature";
import { Phone } from "./sip/phone";
import { readToken } from "./sip/token";

export const phone = signal<Phone | null>(null);
export const owner = signal<AccessKey | null>(null);

/** Registers with a user access token. Throws with a text for people when it cannot be one. */
export function signInUser(token: string): void {
  const claims = readToken(token);
  phone.value?.stop();
  phone.value = new Phone(token, claims);
  phone.value.start();
}

/** Takes an access key, or a connection string that holds one. Throws with a text for people. */
export async function signInOwner(text: string): Promise<void> {
  owner.value = await AccessKey.parse(text);
}

export function signOutUser(): void {
  phone.value?.stop();
  phone.value = null;
}

export function signOutOwner(): void {
  owner.value = null;
}

/** Signs in with `#token=…`, and takes it out of the address, where it would be seen and kept in the history. */
export function signInFromAddress(): void {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return;
  history.replaceState(null, "", location.pathname);
  try {
    signInUser(token);
  } catch {
    // The sign-in page is shown then, which says what a token is.
  }
}
