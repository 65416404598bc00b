// Phone numbers: what there is, search, purchase, change, release, reservations, look-ups.
"use strict";

const { randomUUID } = require("node:crypto");
const { assert, client, finished, listed, paged, refused } = require("./checks.cjs");

const AT_ONCE = { updateIntervalInMs: 0 };
const CALLS = { calling: "inbound+outbound", sms: "none" };

function asked(changes) {
  return {
    countryCode: "US",
    phoneNumberType: "geographic",
    assignmentType: "application",
    capabilities: CALLS,
    areaCode: "206",
    quantity: 1,
    ...changes,
  };
}

function search(numbers, changes) {
  return finished(numbers.beginSearchAvailablePhoneNumbers(asked(changes), AT_ONCE));
}

async function buy(numbers, changes) {
  const found = await search(numbers, changes);
  await finished(numbers.beginPurchasePhoneNumbers(found.searchId, AT_ONCE));
  return found.phoneNumbers;
}

async function browse(numbers, count) {
  const request = { countryCode: "US", phoneNumberType: "geographic" };
  const options = { capabilities: CALLS, assignmentType: "application", phoneNumberPrefixes: ["1212"] };
  return (await numbers.browseAvailablePhoneNumbers(request, options)).phoneNumbers.slice(0, count);
}

async function owned(numbers, options) {
  return (await listed(numbers.listPurchasedPhoneNumbers(options))).map((number) => number.phoneNumber);
}

async function activeReservations(numbers) {
  const all = await listed(numbers.listReservations());
  return all.filter(({ status }) => status === "active").map(({ id }) => id);
}

module.exports = {
  async list_available_countries() {
    const countries = await listed(client("numbers").listAvailableCountries());
    assert.deepEqual(countries, [{ localizedName: "United States", countryCode: "US" }]);
  },

  async list_available_localities() {
    const numbers = client("numbers");
    const names = (places) => places.map((place) => place.localizedName);
    assert.deepEqual(names(await listed(numbers.listAvailableLocalities("US"))), ["New York City", "Seattle"]);
    const pages = await paged(numbers.listAvailableLocalities("US", { maxPageSize: 1 }));
    assert.deepEqual(pages.map(names), [["New York City"], ["Seattle"]]);
  },

  async list_available_localities_of_a_division() {
    // A space in the query: clients sign and send it in different forms.
    for (const administrativeDivision of ["New York", "NY"]) {
      const options = { administrativeDivision, phoneNumberType: "geographic" };
      assert.deepEqual(await listed(client("numbers").listAvailableLocalities("US", options)), [
        {
          localizedName: "New York City",
          administrativeDivision: { localizedName: "New York", abbreviatedName: "NY" },
        },
      ]);
    }
    const none = { administrativeDivision: "Atlantis" };
    assert.deepEqual(await listed(client("numbers").listAvailableLocalities("US", none)), []);
  },

  async list_available_offerings() {
    const numbers = client("numbers");
    const said = (await listed(numbers.listAvailableOfferings("US"))).map((offer) =>
      [offer.phoneNumberType, offer.assignmentType, offer.availableCapabilities.sms, offer.cost.amount].join(" "),
    );
    assert.deepEqual(said.sort(), [
      "geographic application none 1",
      "geographic person none 1",
      "tollFree application inbound+outbound 2",
    ]);
    const options = { phoneNumberType: "tollFree", assignmentType: "application" };
    const [tollFree, ...rest] = await listed(numbers.listAvailableOfferings("US", options));
    assert.deepEqual(rest, []);
    assert.deepEqual(tollFree.cost, { amount: 2, currencyCode: "USD", billingFrequency: "monthly" });
  },

  async list_available_area_codes_geographic() {
    const numbers = client("numbers");
    const codes = (found) => found.map(({ areaCode }) => areaCode);
    const call = (options) => numbers.listAvailableGeographicAreaCodes("US", options);
    assert.deepEqual(codes(await listed(call())), ["206", "212", "332"]);
    const place = { locality: "New York City", administrativeDivision: "NY", assignmentType: "application" };
    assert.deepEqual(codes(await listed(call(place))), ["212", "332"]);
    assert.deepEqual((await paged(call({ maxPageSize: 2 }))).map((page) => page.length), [2, 1]);
  },

  async list_available_area_codes_toll_free() {
    assert.deepEqual(await listed(client("numbers").listAvailableTollFreeAreaCodes("US")), [{ areaCode: "833" }]);
  },

  async list_available_area_codes_mobile() {
    assert.deepEqual(await listed(client("numbers").listAvailableMobileAreaCodes("IE")), []);
  },

  async browse_available_phone_numbers() {
    const numbers = client("numbers");
    const found = await browse(numbers, 20);
    assert.ok(found.length > 0 && found.length <= 10);
    for (const number of found) {
      assert.match(number.phoneNumber, /^\+1212/);
      assert.deepEqual([number.status, number.cost.amount], ["available", 1]);
    }
    // Type alone is enough.
    const any = await numbers.browseAvailablePhoneNumbers({ countryCode: "US", phoneNumberType: "tollFree" });
    assert.ok(any.phoneNumbers.length > 0);
    assert.ok(any.phoneNumbers.every(({ phoneNumber }) => phoneNumber.startsWith("+1833")));
  },

  async search_available_phone_numbers() {
    const found = await search(client("numbers"), { quantity: 3 });
    assert.equal(new Set(found.phoneNumbers).size, 3);
    for (const number of found.phoneNumbers) assert.match(number, /^\+120655501\d\d$/);
    assert.deepEqual([found.phoneNumberType, found.assignmentType], ["geographic", "application"]);
    assert.deepEqual(found.capabilities, CALLS);
    assert.deepEqual(found.cost, { amount: 1, currencyCode: "USD", billingFrequency: "monthly" });
    assert.ok(found.searchId && found.searchExpiresBy > new Date());
  },

  async search_that_fails() {
    // There are two numbers in the area code: the operation begins, and then fails.
    const request = asked({ areaCode: "332", quantity: 5 });
    await assert.rejects(
      () => finished(client("numbers").beginSearchAvailablePhoneNumbers(request, AT_ONCE)),
      /The long-running operation has failed.*NotEnoughNumbers/,
    );
  },

  async cancel_operation() {
    // Without a method in the client: the layer under it, which is generated, has it.
    const numbers = client("numbers");
    const begun = [];
    const options = { ...AT_ONCE, onResponse: ({ headers }) => begun.push(headers.get("operation-id")) };
    const { searchId } = await finished(numbers.beginSearchAvailablePhoneNumbers(asked(), options));
    const under = numbers.client.phoneNumbers;
    assert.equal((await under.getOperation(begun[0])).status, "succeeded");
    await under.cancelOperation(begun[0]);
    await refused(404, "NotFound", () => under.getOperation(begun[0]));
    await refused(404, "NotFound", () => numbers.beginPurchasePhoneNumbers(searchId, AT_ONCE));
  },

  async purchase_and_get() {
    const numbers = client("numbers");
    const [number] = await buy(numbers);
    const { purchaseDate, ...rest } = await numbers.getPurchasedPhoneNumber(number);
    assert.ok(Math.abs(purchaseDate - Date.now()) < 60_000);
    assert.deepEqual(rest, {
      id: number.slice(1),
      phoneNumber: number,
      countryCode: "US",
      phoneNumberType: "geographic",
      capabilities: CALLS,
      assignmentType: "application",
      cost: { amount: 1, currencyCode: "USD", billingFrequency: "monthly" },
    });
  },

  async purchase_twice_is_one_purchase() {
    const numbers = client("numbers");
    const { searchId } = await search(numbers);
    const before = (await owned(numbers)).length;
    for (let time = 0; time < 2; time += 1) {
      await finished(numbers.beginPurchasePhoneNumbers(searchId, AT_ONCE));
    }
    assert.equal((await owned(numbers)).length, before + 1);
  },

  async purchase_of_an_unknown_search() {
    await refused(404, "NotFound", () => client("numbers").beginPurchasePhoneNumbers(randomUUID(), AT_ONCE));
  },

  async list_purchased_phone_numbers() {
    const numbers = client("numbers");
    const bought = await buy(numbers, { quantity: 3 });
    const everything = await owned(numbers);
    assert.ok(bought.every((number) => everything.includes(number)));
    assert.deepEqual(everything, [...new Set(everything)].sort());
    const pages = await paged(numbers.listPurchasedPhoneNumbers({ top: 1 }));
    assert.deepEqual(
      pages.map((page) => page.map(({ phoneNumber }) => phoneNumber)),
      everything.map((number) => [number]),
    );
    assert.deepEqual(await owned(numbers, { skip: 2, top: 100 }), everything.slice(2));
  },

  async update_phone_number_capabilities() {
    const numbers = client("numbers");
    const [number] = await buy(numbers);
    const update = (wanted) => finished(numbers.beginUpdatePhoneNumberCapabilities(number, wanted, AT_ONCE));
    const changed = await update({ calling: "outbound", sms: "none" });
    assert.deepEqual([changed.phoneNumber, changed.capabilities.calling], [number, "outbound"]);
    assert.equal((await numbers.getPurchasedPhoneNumber(number)).capabilities.calling, "outbound");
    assert.deepEqual((await update({ calling: "inbound+outbound" })).capabilities, CALLS);
    // A geographic number sends no messages.
    await refused(400, "CapabilityNotSupported", () => update({ sms: "outbound" }));
  },

  async release_phone_number() {
    const numbers = client("numbers");
    const [number] = await buy(numbers);
    await finished(numbers.beginReleasePhoneNumber(number, AT_ONCE));
    await refused(404, "NotFound", () => numbers.getPurchasedPhoneNumber(number));
    await refused(404, "NotFound", () => numbers.beginReleasePhoneNumber(number, AT_ONCE));
    assert.ok(!(await owned(numbers)).includes(number));
  },

  async create_or_update_reservation() {
    const numbers = client("numbers");
    const [one, two, three] = await browse(numbers, 3);
    const reservationId = randomUUID();
    const made = await numbers.createOrUpdateReservation({ reservationId }, { add: [one, two] });
    assert.deepEqual([made.id, made.status], [reservationId, "active"]);
    assert.deepEqual(Object.keys(made.phoneNumbers).sort(), [one.id, two.id].sort());
    assert.ok(Object.values(made.phoneNumbers).every(({ status }) => status === "reserved"));
    const change = { add: [three], remove: [one.id] };
    const changed = await numbers.createOrUpdateReservation({ reservationId }, change);
    assert.deepEqual(Object.keys(changed.phoneNumbers).sort(), [two.id, three.id].sort());
    assert.ok(changed.expiresAt >= made.expiresAt);
    await numbers.deleteReservation(reservationId);
  },

  async reservation_of_what_another_holds() {
    const numbers = client("numbers");
    const [one, two] = await browse(numbers, 2);
    const [first, second] = [randomUUID(), randomUUID()];
    await numbers.createOrUpdateReservation({ reservationId: first }, { add: [one] });
    // 207: what cannot be had is told beside what can.
    const partly = await numbers.createOrUpdateReservation({ reservationId: second }, { add: [one, two] });
    assert.deepEqual([partly.phoneNumbers[one.id].status, partly.phoneNumbers[two.id].status], ["error", "reserved"]);
    assert.equal(partly.phoneNumbers[one.id].error.code, "FailedToReserveNumber");
    for (const id of [first, second]) await numbers.deleteReservation(id);
  },

  async get_list_and_delete_reservations() {
    const numbers = client("numbers");
    const ids = [randomUUID(), randomUUID(), randomUUID()].sort();
    const found = await browse(numbers, 3);
    for (const [at, reservationId] of ids.entries()) {
      await numbers.createOrUpdateReservation({ reservationId }, { add: [found[at]] });
    }
    const got = await numbers.getReservation(ids[0]);
    assert.deepEqual([got.id, got.status, Object.keys(got.phoneNumbers).length], [ids[0], "active", 1]);
    assert.deepEqual((await activeReservations(numbers)).sort(), ids);
    const pages = await paged(numbers.listReservations({ maxPageSize: 1 }));
    assert.ok(pages.length >= 3 && pages.every((page) => page.length === 1));
    for (const id of ids) await numbers.deleteReservation(id);
    assert.deepEqual(await activeReservations(numbers), []);
    await refused(404, "NotFound", () => numbers.getReservation(randomUUID()));
  },

  async purchase_reservation() {
    const numbers = client("numbers");
    const found = await browse(numbers, 2);
    const reservationId = randomUUID();
    await numbers.createOrUpdateReservation({ reservationId }, { add: found });
    await finished(numbers.beginReservationPurchase(reservationId, AT_ONCE));
    assert.equal((await numbers.getReservation(reservationId)).status, "completed");
    for (const { id, phoneNumber } of found) {
      assert.equal((await numbers.getPurchasedPhoneNumber(phoneNumber)).id, id);
    }
  },

  async search_operator_information() {
    const numbers = client("numbers");
    const [value] = (await numbers.searchOperatorInformation(["+12065550100"])).values;
    assert.equal(value.phoneNumber, "+12065550100");
    assert.deepEqual([value.nationalFormat, value.internationalFormat], ["(206) 555-0100", "+1 206-555-0100"]);
    const options = { includeAdditionalOperatorDetails: true };
    const { values } = await numbers.searchOperatorInformation(["+12065550100", "+18335550100"], options);
    assert.deepEqual(values.map(({ isoCountryCode }) => isoCountryCode), ["US", "US"]);
    assert.deepEqual(values.map(({ numberType }) => numberType), ["geographic", "other"]);
  },
};
