// Requests signed with an access key: HMAC-SHA256 over verb, target, date, host and the hash of the body.

const utf8 = new TextEncoder();

/** An access key, usable for signing and for nothing else. */
export class AccessKey {
  private constructor(private readonly key: CryptoKey) {}

  /** Reads a key in Base64, or a connection string with `accesskey=`. */
  static async parse(text: string): Promise<AccessKey> {
    const field = /accesskey=([^;\s]+)/i.exec(text);
    const encoded = (field?.[1] ?? text).trim();
    const octets = fromBase64(encoded);
    if (!octets || octets.length < 16) {
      throw new Error("That is neither an access key nor a connection string.");
    }
    const algorithm = { name: "HMAC", hash: "SHA-256" };
    return new AccessKey(await crypto.subtle.importKey("raw", octets, algorithm, false, ["sign"]));
  }

  /** Returns the headers that a request has to carry. */
  async headers(method: string, target: string, host: string, body: string, now: Date): Promise<Record<string, string>> {
    const date = now.toUTCString();
    const hash = toBase64(await crypto.subtle.digest("SHA-256", utf8.encode(body)));
    const signed = `${method}\n${target}\n${date};${host};${hash}`;
    const signature = toBase64(await crypto.subtle.sign("HMAC", this.key, utf8.encode(signed)));
    return {
      "x-ms-date": date,
      "x-ms-content-sha256": hash,
      Authorization: `HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=${signature}`,
    };
  }
}

function toBase64(buffer: ArrayBuffer): string {
  return btoa(String.fromCharCode(...new Uint8Array(buffer)));
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
}
