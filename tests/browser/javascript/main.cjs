// One check in Chromium: `node main.cjs CHECK LIBRARY VOICE`. It says how far it is, and goes on when it is told.
'use strict';
const path = require('node:path');
const { Chromium } = require('./chromium.cjs');

const [check, library, voice] = process.argv.slice(2);
const [user] = JSON.parse(process.env.USERS);
const { URL_SIP, HOST_SIP, OUTSIDE } = process.env;

const lines = [];
let waiting;
process.stdin.on('data', () => {
  if (waiting) waiting();
  else lines.push(true);
});

/** Waits until it is told to go on. */
function told() {
  if (lines.pop()) return Promise.resolve();
  return new Promise((resolve) => {
    waiting = () => {
      waiting = undefined;
      resolve();
    };
  });
}

async function main() {
  const browser = await Chromium.open(path.join(__dirname, 'page.html'), voice);
  try {
    const settings = { url: URL_SIP, host: HOST_SIP, user: user.id.replace(/^8:acs:/, ''), token: user.token };
    await browser.run(`use(${JSON.stringify(library)}).register(${JSON.stringify(settings)})`);
    if (check === 'out') {
      await browser.run(`phone.call(${JSON.stringify(`sip:${OUTSIDE}@${HOST_SIP}`)})`);
    } else {
      console.log('ready');
      await browser.run('phone.answer()');
    }
    console.log('confirmed');
    await told();
    console.log(`heard ${await browser.run('recording()')}`);
    await told();
    if (check === 'out') {
      await browser.run(`phone.press('5#')`);
      await browser.run(`phone.pressByInfo('7')`);
      console.log('pressed');
      await told();
    }
    await browser.run('phone.hangUp()');
    console.log('passed');
  } finally {
    await browser.close();
  }
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
