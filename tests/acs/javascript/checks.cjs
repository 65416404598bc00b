// What the areas share: checks with names, and what a client must raise.
"use strict";

const assert = require("node:assert/strict");
const { spawn } = require("node:child_process");
const { once } = require("node:events");
const path = require("node:path");
const { CommunicationIdentityClient } = require("@azure/communication-identity");
const { PhoneNumbersClient, SipRoutingClient } = require("@azure/communication-phone-numbers");

const KINDS = { identity: CommunicationIdentityClient, numbers: PhoneNumbersClient, sip: SipRoutingClient };

/** A client over the connection string in a variable of the environment. */
function client(kind, { of = "TRUNKLINE_CONNECTION", connection = process.env[of], ...options } = {}) {
  return new KINDS[kind](connection, options);
}

async function listed(pager) {
  const items = [];
  for await (const item of pager) items.push(item);
  return items;
}

/** The items, page by page. */
async function paged(pager) {
  const pages = [];
  for await (const page of pager.byPage()) pages.push(page);
  return pages;
}

/** The result of a long-running operation; what is begun here has ended when it is asked after. */
async function finished(begun) {
  return (await begun).pollUntilDone();
}

/** Asserts that a call is refused with a status and a code. */
async function refused(statusCode, code, call) {
  await assert.rejects(call, (error) => {
    assert.deepEqual(
      { name: error.name, statusCode: error.statusCode, code: error.code },
      { name: "RestError", statusCode, code },
      String(error),
    );
    return true;
  });
}

/** A client that tells of the status and the pause of every attempt. */
function watched(kind, tell) {
  const policy = {
    name: "watch",
    async sendRequest(request, next) {
      const response = await next(request);
      await tell(response.status, response.headers.get("retry-after"));
      return response;
    },
  };
  return client(kind, { additionalPolicies: [{ policy, position: "perRetry" }] });
}

/** Holds the write lock of the database, as a backup or another program would, until `work` lets it go or ends. */
async function holdingDatabase(work) {
  const script = path.join(__dirname, "..", "python", "hold_database.py");
  const stdio = ["pipe", "pipe", "inherit"];
  const holder = spawn(process.env.TRUNKLINE_PYTHON, [script, process.env.TRUNKLINE_DATABASE], { stdio });
  const ended = once(holder, "exit");
  const letGo = async () => {
    holder.stdin.end();
    assert.deepEqual(await ended, [0, null]);
  };
  try {
    assert.match(String((await once(holder.stdout, "data"))[0]), /^held/);
    await work(letGo);
  } finally {
    await letGo();
  }
}

/** Runs the checks in their order, says how each went, and returns whether all went well. */
async function run(checks) {
  let good = true;
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check();
      console.log(`ok ${name}`);
    } catch (error) {
      console.error(error);
      console.log(`not ok ${name}`);
      good = false;
    }
  }
  return good;
}

module.exports = { assert, client, finished, holdingDatabase, listed, paged, refused, run, watched };
