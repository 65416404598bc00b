// One check by JsSIP: `node main.cjs CHECK`. The environment says where the gateway is and who the users are.
'use strict';
const assert = require('node:assert/strict');
const { JsSIP, Phone, event, sipUser, bearer, digest, sockets } = require('./phone.cjs');

/** `[{id, token}]`: the users of the resource. */
const USERS = JSON.parse(process.env.USERS);
/** A number outside, which the carrier answers. */
const OUTSIDE = process.env.OUTSIDE;
/** A token of a user of another resource, one without the scope voip, and one that was revoked. */
const { foreign, chat, revoked } = JSON.parse(process.env.TOKENS);

const phones = [];

function phone(n, credentials, options) {
  const made = new Phone(sipUser(USERS[n].id), credentials || bearer(USERS[n].token), options);
  phones.push(made);
  return made;
}

async function refused(credentials) {
  const waiting = phone(0, credentials);
  waiting.ua.start();
  const { response } = await event(waiting.ua, 'registrationFailed', ['registered']);
  return response.status_code;
}

const CHECKS = {
  async registers_with_a_bearer_token() {
    const al = phone(0);
    const response = await al.register();
    assert.equal(response.status_code, 200);
    assert.match(response.getHeader('Contact'), /expires=120/);
    const gone = event(al.ua, 'unregistered');
    al.ua.unregister();
    await gone;
  },

  async registers_with_the_token_as_digest_password() {
    const response = await phone(0, digest(USERS[0].id, USERS[0].token)).register();
    assert.equal(response.status_code, 200);
  },

  async tokens_that_are_no_good_are_refused() {
    assert.equal(await refused(bearer('nonsense')), 401);
    assert.equal(await refused(bearer(revoked)), 401);
    assert.equal(await refused(bearer(chat)), 403);
    assert.equal(await refused(bearer(foreign)), 403);
    assert.equal(await refused(bearer(USERS[1].token)), 403);
    assert.equal(await refused(digest(USERS[0].id, 'nonsense')), 401);
    assert.equal(await refused(digest(USERS[0].id, chat)), 401);
  },

  async calls_another_user_and_hangs_up() {
    const [al, bo] = [phone(0), phone(1)];
    await Promise.all([al.register(), bo.register()]);
    const call = al.call(`sip:${sipUser(USERS[1].id)}@${process.env.HOST_SIP}`);
    const { session, request } = await bo.ring();
    const offered = /a=x-of:(\w+)/.exec(request.body);
    assert.ok(offered, 'the offer came as it was made');
    const confirmed = [event(call, 'confirmed', ['failed']), event(session, 'confirmed', ['failed'])];
    session.answer({ mediaConstraints: { audio: true, video: false } });
    await Promise.all(confirmed);
    const ended = event(call, 'ended');
    session.terminate();
    assert.equal((await ended).cause, JsSIP.C.causes.BYE);
  },

  async every_contact_rings_and_one_answers() {
    const [al, here, there] = [phone(0), phone(1), phone(1)];
    await Promise.all([al.register(), here.register(), there.register()]);
    const call = al.call(`sip:${sipUser(USERS[1].id)}@${process.env.HOST_SIP}`);
    const [first, second] = await Promise.all([here.ring(), there.ring()]);
    const lost = event(second.session, 'failed');
    const confirmed = event(call, 'confirmed', ['failed']);
    first.session.answer({ mediaConstraints: { audio: true, video: false } });
    await confirmed;
    const { message, cause } = await lost;
    assert.equal(cause, JsSIP.C.causes.CANCELED);
    assert.match(message.getHeader('Reason'), /SIP;cause=200;text="Call completed elsewhere"/);
    const ended = event(first.session, 'ended');
    call.terminate();
    await ended;
  },

  async calls_out_and_the_carrier_hangs_up() {
    const al = phone(0);
    await al.register();
    const call = al.call(`sip:${OUTSIDE}@${process.env.HOST_SIP}`);
    await event(call, 'confirmed', ['failed']);
    await event(call, 'ended');
  },

  async a_call_from_outside_rings() {
    const al = phone(0);
    await al.register();
    console.log('ready');
    const { session, request } = await al.ring();
    assert.match(request.getHeader('From'), /sip:\+1\d{10}@/);
    const confirmed = event(session, 'confirmed', ['failed']);
    const ended = event(session, 'ended');
    session.answer({ mediaConstraints: { audio: true, video: false } });
    await confirmed;
    await ended;
  },

  async a_number_that_is_not_the_resources_is_not_shown() {
    const al = phone(0);
    await al.register();
    const call = al.call(`sip:${OUTSIDE}@${process.env.HOST_SIP}`, { fromUserName: '+12065550199' });
    const { message } = await event(call, 'failed', ['confirmed']);
    assert.equal(message.status_code, 403);
  },

  async texts_reach_another_user() {
    const [al, bo] = [phone(0), phone(1)];
    await Promise.all([al.register(), bo.register()]);
    const came = event(bo.ua, 'newMessage');
    const sent = new Promise((resolve, reject) => {
      al.ua.sendMessage(`sip:${sipUser(USERS[1].id)}@${process.env.HOST_SIP}`, 'Hello', {
        eventHandlers: { succeeded: resolve, failed: ({ cause }) => reject(new Error(cause)) },
      });
    });
    const { request } = await came;
    assert.equal(request.body, 'Hello');
    await sent;
  },

  async a_lost_connection_ends_the_registration_and_the_next_one_brings_it_back() {
    const [al, bo] = [phone(0), phone(1, undefined, { connection_recovery_min_interval: 1 })];
    await Promise.all([al.register(), bo.register()]);
    const back = event(bo.ua, 'registered');
    sockets.at(-1).terminate();
    await back;
    const call = al.call(`sip:${sipUser(USERS[1].id)}@${process.env.HOST_SIP}`);
    const { session } = await bo.ring();
    const failed = event(call, 'failed', ['confirmed']);
    session.terminate({ status_code: 486 });
    assert.equal((await failed).cause, JsSIP.C.causes.BUSY);
  },

  async a_registration_ends_when_its_token_is_revoked() {
    const [al, bo] = [phone(0), phone(1)];
    await Promise.all([al.register(), bo.register()]);
    console.log('ready');
    // The test revokes the tokens of the second user, and says so.
    await new Promise((resolve) => process.stdin.once('data', resolve));
    for (let tries = 0; ; tries += 1) {
      const call = al.call(`sip:${sipUser(USERS[1].id)}@${process.env.HOST_SIP}`);
      const { message } = await event(call, 'failed', ['confirmed']).catch(() => ({ message: {} }));
      if (message.status_code === 480) break;
      assert.ok(tries < 20, 'the user can still be reached');
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  },
};

const check = CHECKS[process.argv[2]];
assert.ok(check, `there is no check ${process.argv[2]}`);
check().then(
  () => {
    for (const each of phones) each.stop();
    console.log('passed');
    process.exit(0);
  },
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
