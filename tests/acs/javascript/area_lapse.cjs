// A long-running purchase that fails, for the search has lapsed: here searches live for seconds.
"use strict";

const { setTimeout: pause } = require("node:timers/promises");
const { assert, client, finished, listed, refused } = require("./checks.cjs");

const AT_ONCE = { updateIntervalInMs: 0 };

/** Until the clock, which is the server's too, has passed it. */
async function waitUntil(moment) {
  while (Date.now() <= moment) await pause(50);
}

module.exports = {
  async purchase_that_fails() {
    const numbers = client("numbers");
    const asked = {
      countryCode: "US",
      phoneNumberType: "geographic",
      assignmentType: "application",
      capabilities: { calling: "outbound", sms: "none" },
    };
    const found = await finished(numbers.beginSearchAvailablePhoneNumbers(asked, AT_ONCE));
    await waitUntil(found.searchExpiresBy);
    await assert.rejects(
      () => finished(numbers.beginPurchasePhoneNumbers(found.searchId, AT_ONCE)),
      /The long-running operation has failed.*ReservationExpired/,
    );
    assert.deepEqual(await listed(numbers.listPurchasedPhoneNumbers()), []);
  },

  async lapsed_reservation_is_409() {
    const numbers = client("numbers");
    const request = { countryCode: "US", phoneNumberType: "tollFree" };
    const [one, two] = (await numbers.browseAvailablePhoneNumbers(request)).phoneNumbers;
    const reservationId = "00000000-0000-4000-8000-000000000001";
    const made = await numbers.createOrUpdateReservation({ reservationId }, { add: [one] });
    await waitUntil(made.expiresAt);
    assert.equal((await numbers.getReservation(reservationId)).status, "expired");
    const change = () => numbers.createOrUpdateReservation({ reservationId }, { add: [two] });
    await refused(409, "ReservationExpired", change);
  },
};
