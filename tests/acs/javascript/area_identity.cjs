// Users and their tokens.
"use strict";

const { assert, client, refused } = require("./checks.cjs");

const DAY_MINUTES = 1440;

function claims(token) {
  return JSON.parse(Buffer.from(token.split(".")[1], "base64").toString("ascii"));
}

/** How many minutes a token is good for from now on. */
function minutes(token) {
  return Math.round((token.expiresOn - Date.now()) / 60_000);
}

function skypeId(user) {
  return user.communicationUserId.replace(/^8:/, "");
}

module.exports = {
  async create_user() {
    const [one, other] = [await client("identity").createUser(), await client("identity").createUser()];
    for (const user of [one, other]) {
      assert.match(user.communicationUserId, /^8:acs:[0-9a-f-]{36}_[^_]+$/);
    }
    assert.notEqual(one.communicationUserId, other.communicationUserId);
  },

  async create_user_and_token() {
    const made = await client("identity").createUserAndToken(["chat", "voip"]);
    assert.equal(claims(made.token).skypeid, skypeId(made.user));
    assert.equal(minutes(made), DAY_MINUTES);
  },

  async create_user_and_token_for_a_while() {
    const made = await client("identity").createUserAndToken(["voip"], { tokenExpiresInMinutes: 90 });
    assert.equal(minutes(made), 90);
  },

  async get_token() {
    const identity = client("identity");
    const user = await identity.createUser();
    for (const scopes of [["chat"], ["voip"], ["chat", "voip"], ["chat.join"], ["chat.join.limited"], ["voip.join"]]) {
      const token = await identity.getToken(user, scopes);
      const said = claims(token.token);
      assert.deepEqual(said.acsScope.split(","), scopes);
      assert.equal(said.skypeid, skypeId(user));
      assert.equal(said.exp - said.iat, DAY_MINUTES * 60);
      assert.equal(minutes(token), DAY_MINUTES);
    }
  },

  async get_token_for_a_while() {
    const identity = client("identity");
    const user = await identity.createUser();
    for (const life of [60, 1440]) {
      assert.equal(minutes(await identity.getToken(user, ["chat"], { tokenExpiresInMinutes: life })), life);
    }
  },

  async get_token_for_too_short_or_long() {
    const identity = client("identity");
    const user = await identity.createUser();
    for (const tokenExpiresInMinutes of [59, 1441]) {
      const options = { tokenExpiresInMinutes };
      await refused(400, "BadRequest", () => identity.getToken(user, ["chat"], options));
      await refused(400, "BadRequest", () => identity.createUserAndToken(["chat"], options));
    }
  },

  async revoke_tokens() {
    const identity = client("identity");
    const { user } = await identity.createUserAndToken(["voip"]);
    assert.equal(await identity.revokeTokens(user), undefined);
    assert.equal(claims((await identity.getToken(user, ["voip"])).token).skypeid, skypeId(user));
  },

  async delete_user() {
    const identity = client("identity");
    const user = await identity.createUser();
    assert.equal(await identity.deleteUser(user), undefined);
    await refused(404, "NotFound", () => identity.getToken(user, ["voip"]));
    await refused(404, "NotFound", () => identity.revokeTokens(user));
    // What is gone is gone: a client that did not see the answer sends it again.
    assert.equal(await identity.deleteUser(user), undefined);
  },

  async users_of_another_resource() {
    const user = await client("identity", { of: "TRUNKLINE_CONNECTION_INELIGIBLE" }).createUser();
    const identity = client("identity");
    await refused(401, "Denied", () => identity.getToken(user, ["voip"]));
    await refused(401, "Denied", () => identity.revokeTokens(user));
    await refused(401, "Denied", () => identity.deleteUser(user));
  },

  async get_token_for_teams_user() {
    // Teams is not here, and a client that asks is told so.
    const asked = { teamsUserAadToken: "token", clientId: "client", userObjectId: "user" };
    await refused(404, "NotFound", () => client("identity").getTokenForTeamsUser(asked));
  },
};
