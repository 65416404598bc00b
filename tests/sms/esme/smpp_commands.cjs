// A customer's system on npm smpp that goes through a list of commands, one after the other, and prints the answers.
//
// A text "$N" in a command stands for the message_id of the answer to command N. The command "wait" waits until as many
// deliver_sm have come; a third element, a status, is one that the command is tried again upon.
'use strict';

const smpp = require('smpp');

const plan = JSON.parse(process.argv[2]);
const answers = [];
const delivered = [];
let noticed = () => {};

function fail(error) {
  console.error(error, JSON.stringify({ answers, delivered }));
  process.exit(1);
}

function filled(fields) {
  const text = JSON.stringify(fields).replace(/"\$(\d+)"/g, (_, at) => JSON.stringify(answers[at].message_id));
  return JSON.parse(text);
}

const session = smpp.connect({ host: plan.host, port: plan.port }, () => {
  session.bind_transceiver({ system_id: plan.system_id, password: plan.password }, (bound) => {
    if (bound.command_status !== 0) fail(`bind: ${bound.command_status}`);
    run(0);
  });
});

function run(at) {
  const command = plan.commands[at];
  if (!command) {
    session.unbind(() => {
      console.log(JSON.stringify({ answers, delivered }));
      session.removeAllListeners('close');
      session.destroy();
    });
    return;
  }
  const [name, fields, again] = command;
  if (name === 'wait') {
    noticed = () => {
      if (delivered.length < fields) return;
      noticed = () => {};
      answers[at] = {};
      run(at + 1);
    };
    noticed();
    return;
  }
  session[name](filled(fields), (answer) => {
    if (again !== undefined && answer.command_status === again) {
      setTimeout(() => run(at), 100);
      return;
    }
    answers[at] = {
      status: answer.command_status,
      message_id: answer.message_id,
      state: answer.message_state,
      failed: (answer.unsuccess_sme || []).map((sme) => [sme.destination_addr, sme.error_status_code]),
    };
    run(at + 1);
  });
}

session.on('deliver_sm', (pdu) => {
  delivered.push({ id: pdu.receipted_message_id, state: pdu.message_state, from: pdu.source_addr });
  session.send(pdu.response());
  noticed();
});
session.on('enquire_link', (pdu) => session.send(pdu.response()));
session.on('error', fail);
session.on('close', () => fail('the connection was closed'));
setTimeout(() => fail('waited in vain'), plan.patience * 1000).unref();
