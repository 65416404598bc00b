// Not now, and no more: 503 while the database is busy, 429 while a purchase is under way, 403 after the last search.
"use strict";

const { assert, client, finished, holdingDatabase, refused, watched } = require("./checks.cjs");

const AT_ONCE = { updateIntervalInMs: 0 };
const SEARCHES_A_WEEK = 5;

function search(numbers) {
  const asked = {
    countryCode: "US",
    phoneNumberType: "geographic",
    assignmentType: "application",
    capabilities: { calling: "outbound", sms: "none" },
  };
  return numbers.beginSearchAvailablePhoneNumbers(asked, AT_ONCE);
}

module.exports = {
  async busy_database_is_503_and_retried() {
    const seen = [];
    await holdingDatabase(async (letGo) => {
      const identity = watched("identity", async (status, retryAfter) => {
        seen.push([status, retryAfter]);
        await letGo();
      });
      assert.match((await identity.createUser()).communicationUserId, /^8:acs:/);
    });
    assert.deepEqual(seen, [[503, "1"], [201, undefined]]);
  },

  async purchases_at_once_are_429_and_retried() {
    // PROV-05: one at a time. While the database is held, the first is under way.
    const seen = [];
    const found = [await finished(search(client("numbers"))), await finished(search(client("numbers")))];
    await holdingDatabase(async (letGo) => {
      const numbers = watched("numbers", async (status) => {
        seen.push(status);
        if (status === 429) await letGo();
      });
      const purchase = ({ searchId }) => finished(numbers.beginPurchasePhoneNumbers(searchId, AT_ONCE));
      await Promise.all(found.map(purchase));
    });
    assert.equal(seen.filter((status) => status === 202).length, 2);
    assert.ok(seen.includes(429) && seen.every((status) => [200, 202, 429].includes(status)), String(seen));
    for (const { phoneNumbers } of found) {
      assert.ok(await client("numbers").getPurchasedPhoneNumber(phoneNumbers[0]));
    }
  },

  async searches_beyond_the_quota_are_403() {
    // PROV-05. It is not 429: nobody waits a week. Two searches were made above.
    const numbers = client("numbers");
    for (let time = 2; time < SEARCHES_A_WEEK; time += 1) await finished(search(numbers));
    await refused(403, "QuotaExceeded", () => search(numbers));
  },
};
