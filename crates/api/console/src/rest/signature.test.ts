import { expect, test } from "vitest";
import { AccessKey } from "./signature";

const KEY = btoa("0123456789abcdef0123456789abcdef");

test("a connection string and its key sign alike", async () => {
  const now = new Date("2026-11-23T11:26:11Z");
  const connection = await AccessKey.parse(`endpoint=https://localhost:8443/;accesskey=${KEY}`);
  const alone = await AccessKey.parse(` ${KEY}\n`);
  const sign = (key: AccessKey) => key.headers("GET", "/phoneNumbers?top=1", "localhost:8443", "", now);
  const headers = await sign(connection);
  expect(headers).toEqual(await sign(alone));
  expect(headers["x-ms-date"]).toBe("Mon, 23 Nov 2026 11:26:11 GMT");
  expect(headers["x-ms-content-sha256"]).toBe("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
});

test("what is signed is the verb, the target, the date, the host and the body", async () => {
  const key = await AccessKey.parse(KEY);
  const now = new Date("2026-11-23T11:26:11Z");
  const first = await key.headers("GET", "/a", "h", "", now);
  for (const [method, target, host, body, at] of [
    ["PUT", "/a", "h", "", now],
    ["GET", "/b", "h", "", now],
    ["GET", "/a", "i", "", now],
    ["GET", "/a", "h", "{}", now],
    ["GET", "/a", "h", "", new Date("2026-11-23T11:26:12Z")],
  ] as const) {
    const other = await key.headers(method, target, host, body, at);
    expect(other["Authorization"]).not.toBe(first["Authorization"]);
  }
});

test("other texts are no keys", async () => {
  for (const text of ["", "hello", "endpoint=https://localhost/;accesskey=%%%", btoa("short")]) {
    await expect(AccessKey.parse(text)).rejects.toThrow(/neither an access key/);
  }
});
