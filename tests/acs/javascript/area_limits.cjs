// Too much at once: 429, without and with the clients' own retries.
"use strict";

const { assert, client, refused, watched } = require("./checks.cjs");

const NUMBER = "+12065550199";
// More than the harness lets through at once.
const PLENTY = 200;

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
};
