// Sends texts with the official JavaScript client, or its beta, which has opt-outs: driver.cjs (ga | beta).
"use strict";

// The clients ask for Node.js 20. Debian 12 has 18, which lacks nothing of it but this.
globalThis.crypto ??= require("node:crypto").webcrypto;

const assert = require("node:assert/strict");
const beta = process.argv[2] === "beta";
const { SmsClient } = require(beta ? "communication-sms-beta" : "@azure/communication-sms");

const CONNECTION = process.env.TRUNKLINE_CONNECTION;
const NUMBER = process.env.TRUNKLINE_NUMBER;
const TO = "+14255550100";

const sms = (options) => new SmsClient(CONNECTION, options);
const send = (to, message, options) => sms().send({ from: NUMBER, to, message }, options);

async function refused(statusCode, code, call) {
  await assert.rejects(call, (error) => {
    assert.deepEqual([error.name, error.statusCode, error.code], ["RestError", statusCode, code], String(error));
    return true;
  });
}

const checks = {
  async send_to_one() {
    const [result] = await send([TO], "Hello");
    assert.equal(result.to, TO);
    assert.deepEqual([result.httpStatusCode, result.successful], [202, true]);
    assert.equal(result.repeatabilityResult, "accepted");
    assert.match(result.messageId, /^Outgoing_\d{14}/);
  },

  async send_to_many_with_options() {
    const to = [TO, "+1206555", "+12065550111"];
    const results = await send(to, "Grüße ☃", { enableDeliveryReport: true, tag: "t1" });
    assert.deepEqual(results.map((result) => result.to), to);
    assert.deepEqual(results.map((result) => result.httpStatusCode), [202, 400, 202]);
    assert.equal(results[1].messageId, undefined);
    assert.equal(results[1].errorMessage, "Invalid To phone number format.");
  },

  async send_to_a_hundred() {
    const to = Array.from({ length: 100 }, (_, line) => `+14255550${100 + line}`);
    const results = await send(to, "Hello, all");
    assert.deepEqual(results.map((result) => result.to), to);
    assert.ok(results.every((result) => result.successful));
    assert.equal(new Set(results.map((result) => result.messageId)).size, 100);
  },

  async a_request_that_comes_twice_is_one_message() {
    const bodies = [];
    const policy = {
      name: "twice",
      async sendRequest(request, next) {
        bodies.push((await next(request)).bodyAsText);
        const second = await next(request);
        bodies.push(second.bodyAsText);
        return second;
      },
    };
    const client = sms({ additionalPolicies: [{ policy, position: "perRetry" }] });
    await client.send({ from: NUMBER, to: [TO, "+12065550111"], message: "Once" });
    assert.equal(bodies.length, 2);
    assert.equal(bodies[0], bodies[1]);
  },

  async a_sender_of_nobody_is_401() {
    for (const from of ["+12065550199", "24365", "CONTOSO"]) {
      await refused(401, "Denied", () => sms().send({ from, to: [TO], message: "Hello" }));
    }
  },

  async what_is_no_request_is_400() {
    await refused(400, "BadRequest", () => sms().send({ from: "12", to: [TO], message: "Hello" }));
    await refused(400, "BadRequest", () => send([], "Hello"));
    await refused(400, "BadRequest", () => send(Array(101).fill(TO), "Hello"));
    await refused(400, "BadRequest", () => send([TO], "x".repeat(2049)));
  },
};

const betaChecks = {
  async opt_outs_are_added_checked_and_removed() {
    const optOuts = sms().optOuts;
    const to = ["+12065550122", "+1206", "+12065550123"];
    const added = await optOuts.add(NUMBER, to.slice(0, 2));
    assert.deepEqual(added.map(({ to, httpStatusCode }) => [to, httpStatusCode]), [[to[0], 200], [to[1], 400]]);
    const checked = await optOuts.check(NUMBER, to);
    assert.deepEqual(checked.map((one) => [one.to, one.httpStatusCode, one.isOptedOut]), [
      [to[0], 200, true],
      // The client has no word for what it was not told.
      [to[1], 400, false],
      [to[2], 200, false],
    ]);
    const [blocked, free] = await send([to[0], to[2]], "Hello");
    assert.deepEqual([blocked.httpStatusCode, blocked.successful], [400, false]);
    assert.equal(blocked.errorMessage, "Sender blocked for given recipient.");
    assert.ok(free.successful);
    const removed = await optOuts.remove(NUMBER, [to[0]]);
    assert.deepEqual(removed.map(({ httpStatusCode }) => httpStatusCode), [200]);
    const [again] = await optOuts.check(NUMBER, [to[0]]);
    assert.equal(again.isOptedOut, false);
    assert.ok((await send([to[0]], "Hello"))[0].successful);
  },

  async opt_outs_of_a_sender_of_nobody_are_401() {
    await refused(401, "Denied", () => sms().optOuts.check("+12065550199", [TO]));
    await refused(400, "BadRequest", () => sms().optOuts.check(NUMBER, []));
  },

  async messaging_connect_is_refused() {
    const options = { enableDeliveryReport: true, messagingConnect: { apiKey: "key", partner: "partner" } };
    await refused(400, "BadRequest", () => send([TO], "Hello", options));
  },
};

(async () => {
  for (const [name, check] of Object.entries({ ...checks, ...(beta ? betaChecks : {}) })) {
    try {
      await check();
      console.log(`ok ${name}`);
    } catch (error) {
      console.error(error);
      console.log(`not ok ${name}`);
      process.exitCode = 1;
    }
  }
})();
