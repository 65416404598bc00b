// A customer's system on npm smpp: binds, sends what it is told, waits for what it expects, and prints it as JSON.
'use strict';

const smpp = require('smpp');

const plan = JSON.parse(process.argv[2]);
const ids = [];
const delivered = [];

function fail(error) {
  console.error(error);
  process.exit(1);
}

const session = smpp.connect({ host: plan.host, port: plan.port }, () => {
  session.bind_transceiver({ system_id: plan.system_id, password: plan.password }, (bound) => {
    if (bound.command_status !== 0) fail(`bind: ${bound.command_status}`);
    plan.messages.forEach((message, at) => {
      const submit = {
        source_addr_ton: 1,
        source_addr_npi: 1,
        source_addr: message.from,
        dest_addr_ton: 1,
        dest_addr_npi: 1,
        destination_addr: message.to,
        registered_delivery: 1,
      };
      if (message.text.length > 160) submit.message_payload = message.text;
      else submit.short_message = message.text;
      session.submit_sm(submit, (answer) => {
        ids[at] = answer.command_status === 0 ? answer.message_id : null;
        finish();
      });
    });
    finish();
  });
});

session.on('deliver_sm', (pdu) => {
  const content = pdu.short_message;
  const header = content.udh && content.udh[0];
  delivered.push({
    from: pdu.source_addr,
    to: pdu.destination_addr,
    receipt: (pdu.esm_class & 4) !== 0,
    text: content.message.toString(),
    seq: header ? header[header.length - 1] : 0,
    id: pdu.receipted_message_id || null,
    state: pdu.message_state || null,
  });
  session.send(pdu.response());
  finish();
});
session.on('enquire_link', (pdu) => session.send(pdu.response()));
session.on('error', fail);
session.on('close', () => fail('the connection was closed'));
setTimeout(() => fail(`waited in vain: ${JSON.stringify({ ids, delivered })}`), plan.patience * 1000).unref();

function finish() {
  const answered = ids.filter((id) => id !== undefined).length;
  if (answered < plan.messages.length || delivered.length < plan.expect) return;
  session.unbind(() => {
    console.log(JSON.stringify({ ids, delivered }));
    session.removeAllListeners('close');
    session.destroy();
  });
}
