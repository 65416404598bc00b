// SIP trunks and routes.
"use strict";

const { assert, client, listed, refused } = require("./checks.cjs");

const US = "^\\+1[0-9]{10}$";

function trunk(fqdn, sipSignalingPort) {
  return { fqdn, sipSignalingPort };
}

function route(name, trunks, numberPattern = US) {
  return { name, description: "As said", numberPattern, trunks };
}

async function trunks() {
  const found = await listed(client("sip").listTrunks());
  return found.map(({ fqdn, sipSignalingPort }) => `${fqdn}:${sipSignalingPort}`).sort();
}

function routes() {
  return listed(client("sip").listRoutes());
}

module.exports = {
  async nothing_is_configured_at_first() {
    assert.deepEqual([await trunks(), await routes()], [[], []]);
  },

  async set_trunks() {
    await client("sip").setTrunks([trunk("sbc1.contoso.com", 5061), trunk("sbc2.contoso.com", 5062)]);
    assert.deepEqual(await trunks(), ["sbc1.contoso.com:5061", "sbc2.contoso.com:5062"]);
    // The list is replaced: what it does not name goes.
    await client("sip").setTrunks([trunk("sbc2.contoso.com", 5063), trunk("sbc3.contoso.com", 5061)]);
    assert.deepEqual(await trunks(), ["sbc2.contoso.com:5063", "sbc3.contoso.com:5061"]);
  },

  async set_trunk() {
    assert.deepEqual(await client("sip").setTrunk(trunk("sbc4.contoso.com", 5061)), trunk("sbc4.contoso.com", 5061));
    await client("sip").setTrunk(trunk("sbc3.contoso.com", 5066));
    assert.deepEqual(await trunks(), ["sbc2.contoso.com:5063", "sbc3.contoso.com:5066", "sbc4.contoso.com:5061"]);
  },

  async get_trunk() {
    const found = await client("sip").getTrunk("sbc3.contoso.com");
    assert.deepEqual([found.fqdn, found.sipSignalingPort], ["sbc3.contoso.com", 5066]);
    await assert.rejects(() => client("sip").getTrunk("sbc9.contoso.com"));
  },

  async set_routes() {
    const wanted = [route("us", ["sbc3.contoso.com", "sbc2.contoso.com"]), route("rest", [], ".*")];
    await client("sip").setRoutes(wanted);
    assert.deepEqual(await routes(), wanted);
    await client("sip").setRoutes([route("rest", [], ".*"), route("us", ["sbc3.contoso.com"])]);
    assert.deepEqual((await routes()).map(({ name }) => name), ["rest", "us"]);
  },

  async delete_trunk() {
    assert.equal(await client("sip").deleteTrunk("sbc4.contoso.com"), undefined);
    assert.deepEqual(await trunks(), ["sbc2.contoso.com:5063", "sbc3.contoso.com:5066"]);
  },

  async delete_trunk_that_a_route_goes_to() {
    const before = await trunks();
    await refused(422, "UnprocessableConfiguration", () => client("sip").deleteTrunk("sbc3.contoso.com"));
    assert.deepEqual(await trunks(), before);
  },

  async refused_configurations_change_nothing() {
    const before = [await trunks(), await routes()];
    for (const wrong of [
      route("look", ["sbc3.contoso.com"], "(?<=\\+1)[0-9]+"),
      route("again", ["sbc3.contoso.com"], "(a)\\1"),
      route("broken", ["sbc3.contoso.com"], "("),
      route("missing", ["sbc9.contoso.com"]),
      route("", ["sbc3.contoso.com"]),
    ]) {
      await refused(422, "UnprocessableConfiguration", () => client("sip").setRoutes([wrong]));
    }
    for (const wrong of [
      trunk("-sbc.contoso.com", 5061),
      trunk("sbc5.contoso.com", 0),
      trunk("sbc5.contoso.com", 65536),
    ]) {
      await refused(422, "UnprocessableConfiguration", () => client("sip").setTrunk(wrong));
    }
    assert.deepEqual([await trunks(), await routes()], before);
  },

  async set_nothing() {
    await client("sip").setRoutes([]);
    await client("sip").setTrunks([]);
    assert.deepEqual([await trunks(), await routes()], [[], []]);
  },
};
