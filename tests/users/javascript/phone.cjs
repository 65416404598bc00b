// A phone of JsSIP, unmodified, with promises for what it waits for.
'use strict';
const { sockets } = require('./shim.cjs');
const JsSIP = require('jssip');

if (process.env.DEBUG_SIP) {
  JsSIP.debug.enable('JsSIP:Transport*');
} else {
  JsSIP.debug.disable();
}

const PATIENCE_MS = 10_000;

/** Waits for an event of an emitter, and fails at any of those that mean it will never come. */
function event(emitter, name, never = []) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${name} within ${PATIENCE_MS} ms`)), PATIENCE_MS);
    emitter.once(name, (data) => {
      clearTimeout(timer);
      resolve(data);
    });
    for (const other of never) {
      emitter.once(other, (data) => {
        clearTimeout(timer);
        reject(new Error(`${other} instead of ${name}: ${data && data.cause}`));
      });
    }
  });
}

class Phone {
  constructor(user, credentials, options = {}) {
    const sockets_ = [new JsSIP.WebSocketInterface(process.env.URL_SIP)];
    this.ua = new JsSIP.UA({
      sockets: sockets_,
      uri: `sip:${user}@${process.env.HOST_SIP}`,
      register_expires: 120,
      session_timers: false,
      ...credentials,
      ...options,
    });
    this.incoming = [];
    this.waiting = [];
    this.ua.on('newRTCSession', ({ originator, session, request }) => {
      if (originator === 'remote') {
        const call = { session, request };
        const waiter = this.waiting.shift();
        if (waiter) waiter(call);
        else this.incoming.push(call);
      }
    });
  }
  async register() {
    this.ua.start();
    const { response } = await event(this.ua, 'registered', ['registrationFailed']);
    return response;
  }
  /** Waits for a call. */
  ring() {
    if (this.incoming.length > 0) return Promise.resolve(this.incoming.shift());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('no call came')), PATIENCE_MS);
      this.waiting.push((call) => {
        clearTimeout(timer);
        resolve(call);
      });
    });
  }
  call(target, options = {}) {
    return this.ua.call(target, { mediaConstraints: { audio: true, video: false }, ...options });
  }
  stop() {
    this.ua.stop();
  }
}

/** A user part that needs no escape: JsSIP takes a colon for the start of a password. */
function sipUser(id) {
  return id.replace(/^8:acs:/, '');
}

function bearer(token) {
  return { authorization_jwt: `Bearer ${token}` };
}

function digest(id, token) {
  return { authorization_user: id, password: token };
}

module.exports = { JsSIP, Phone, event, sipUser, bearer, digest, sockets };
