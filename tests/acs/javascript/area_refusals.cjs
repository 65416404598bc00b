// What is refused for who asks or for what it says, and that the clients raise what they document for it.
"use strict";

const { assert, client, listed, refused } = require("./checks.cjs");

const CALLS = { calling: "inbound+outbound", sms: "none" };
const MESSAGES = { calling: "outbound", sms: "outbound" };
const NUMBER = "+12065550199";

function search(numbers, changes, options) {
  const asked = {
    countryCode: "US",
    phoneNumberType: "geographic",
    assignmentType: "application",
    capabilities: CALLS,
    ...changes,
  };
  return () => numbers.beginSearchAvailablePhoneNumbers(asked, options);
}

module.exports = {
  async another_key_is_401() {
    // Well-formed, and of the right length, but not the key.
    const connection = process.env.TRUNKLINE_CONNECTION.replace(/accesskey=(.)(...)/, "accesskey=$2$1");
    assert.notEqual(connection, process.env.TRUNKLINE_CONNECTION);
    const numbers = client("numbers", { connection });
    await refused(401, "Denied", () => numbers.getPurchasedPhoneNumber(NUMBER));
    await refused(401, "Denied", () => listed(numbers.listPurchasedPhoneNumbers()));
    await refused(401, "Denied", () => client("identity", { connection }).createUser());
    await refused(401, "Denied", () => client("sip", { connection }).getTrunk("sbc1.contoso.com"));
  },

  async billing_country_that_is_not_eligible_is_403() {
    const numbers = client("numbers", { of: "TRUNKLINE_CONNECTION_INELIGIBLE" });
    const code = "BillingCountryNotEligible";
    await refused(403, code, search(numbers, { phoneNumberType: "tollFree" }));
    // The country comes from the billing record alone.
    const requestOptions = { customHeaders: { "X-Country": "US", "Accept-Language": "en-US" } };
    await refused(403, code, search(numbers, { phoneNumberType: "tollFree" }, { requestOptions }));
  },

  async number_of_nobody_is_404() {
    const numbers = client("numbers");
    await refused(404, "NotFound", () => numbers.getPurchasedPhoneNumber(NUMBER));
    await refused(404, "NotFound", () => numbers.beginReleasePhoneNumber(NUMBER));
    const change = { calling: "outbound" };
    await refused(404, "NotFound", () => numbers.beginUpdatePhoneNumberCapabilities(NUMBER, change));
  },

  async country_that_is_not_offered_is_404() {
    await refused(404, "NumberCountryNotOffered", search(client("numbers"), { countryCode: "CA" }));
  },

  async missing_emergency_address_is_409() {
    // PROV-14: a person's number needs one before it can call.
    await refused(409, "EmergencyAddressRequired", search(client("numbers"), { assignmentType: "person" }));
  },

  async what_is_not_offered_is_400() {
    for (const [code, changes] of [
      ["CapabilityNotSupported", { capabilities: MESSAGES }],
      ["AssignmentTypeNotAllowed", { phoneNumberType: "tollFree", assignmentType: "person" }],
      ["NumberTypeNotOffered", { phoneNumberType: "mobile" }],
      ["AreaCodeInvalid", { areaCode: "416" }],
      ["AreaCodeInvalid", { areaCode: "876" }],
      ["AreaCodeInvalid", { phoneNumberType: "tollFree", areaCode: "822" }],
      ["BadRequest", { quantity: 0 }],
      ["BadRequest", { quantity: 11 }],
    ]) {
      await refused(400, code, search(client("numbers"), changes));
    }
  },

  async unknown_api_version_is_400() {
    const call = () => other("1999-01-01", "numbers").getPurchasedPhoneNumber(NUMBER);
    await refused(400, "UnsupportedApiVersion", call);
  },

  async every_known_api_version_is_served() {
    for (const version of ["2021-03-07", "2022-12-01", "2025-02-11", "2025-04-01", "2025-06-01"]) {
      await refused(404, "NotFound", () => other(version, "numbers").getPurchasedPhoneNumber(NUMBER));
    }
    for (const version of ["2021-03-07", "2022-06-01", "2022-10-01", "2023-10-01"]) {
      assert.match((await other(version, "identity").createUser()).communicationUserId, /^8:acs:/);
    }
  },
};

/** A client of another version of the API, which it has no option for: a policy before the signature asks for it. */
function other(version, kind) {
  const policy = {
    name: "apiVersion",
    sendRequest(request, next) {
      request.url = request.url.replace(/api-version=[^&]*/, `api-version=${version}`);
      return next(request);
    },
  };
  return client(kind, { additionalPolicies: [{ policy, position: "perCall" }] });
}
