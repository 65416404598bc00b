import { expect, test } from "vitest";
import { read } from "./trace";

const INVITE = [
  "INVITE sip:+14255550100@localhost SIP/2.0",
  "Via: SIP/2.0/WSS example.invalid;branch=z9hG4bK1",
  "Call-ID: abc@example",
  "CSeq: 1 INVITE",
  "Authorization: Bearer secret",
  "",
  "v=0",
].join("\r\n");

test("a request is named by its method, a response by its status", () => {
  expect(read("out", INVITE, 1)?.step.label).toBe("INVITE");
  const ringing = INVITE.replace(/^.*/, "SIP/2.0 180 Ringing");
  expect(read("in", ringing, 2)).toMatchObject({ callId: "abc@example", step: { label: "180 Ringing", method: "INVITE" } });
});

test("registrations are no calls", () => {
  expect(read("out", INVITE.replaceAll("INVITE", "REGISTER"), 1)).toBeNull();
});

test("tokens are not shown", () => {
  expect(read("out", INVITE, 1)?.step.text).not.toContain("secret");
});
