// Too much, and not now: 429, quotas, and 503, as the clients meet them with their own retries.
"use strict";

const { assert, client, finished, heldDatabase, refused } = require("./checks.cjs");

const NUMBER = "+12065550199";
// More than the harness lets through at once.
const PLENTY = 200;

/** A client that tells of the status of every attempt. */
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

module.exports = {
  async rate_limit_is_429() {
    const numbers = client("numbers", { retryOptions: { maxRetries: 0 } });
    for (let time = 0; time < PLENTY; time += 1) {
      const error = await numbers.getPurchasedPhoneNumber(NUMBER).then(
        () => assert.fail("nobody has this number"),
        (error) => error,
      );
      if (error.statusCode === 404) continue;
      assert.deepEqual([error.statusCode, error.code], [429, "TooManyRequests"], String(error));
      assert.ok(Number(error.response.headers.get("retry-after")) >= 1);
      return;
    }
    assert.fail("there was no limit");
  },

  async rate_limit_is_waited_out() {
    const seen = [];
    const numbers = watched("numbers", (status) => seen.push(status));
    for (let time = 0; time < PLENTY; time += 1) {
      await refused(404, "NotFound", () => numbers.getPurchasedPhoneNumber(NUMBER));
      if (!seen.includes(429)) continue;
      assert.equal(seen.at(-1), 404);
      return;
    }
    assert.fail("there was no limit");
  },

  async quota_of_searches_is_403() {
    // PROV-05. It is not 429: nobody waits a week.
    const numbers = client("numbers");
    const asked = {
      countryCode: "US",
      phoneNumberType: "geographic",
      assignmentType: "application",
      capabilities: { calling: "outbound", sms: "none" },
    };
    const options = { updateIntervalInMs: 0 };
    for (let time = 0; time < 5; time += 1) {
      await finished(numbers.beginSearchAvailablePhoneNumbers(asked, options));
    }
    await refused(403, "QuotaExceeded", () => numbers.beginSearchAvailablePhoneNumbers(asked, options));
  },

  async busy_database_is_503_and_retried() {
    const seen = [];
    const letGo = await heldDatabase();
    const identity = watched("identity", async (status, retryAfter) => {
      seen.push([status, retryAfter]);
      if (seen.length === 1) await letGo();
    });
    const user = await identity.createUser();
    assert.match(user.communicationUserId, /^8:acs:/);
    assert.deepEqual(seen, [[503, "1"], [201, undefined]]);
  },
};
