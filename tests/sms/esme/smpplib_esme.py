"""A customer's system on smpplib: binds, sends what it is told, waits for what it expects, and prints it as JSON."""

import json
import socket
import sys
import time

import smpplib.client
import smpplib.consts
import smpplib.gsm


def main(plan):
    ids, delivered = [], []

    def answered(pdu):
        ids.append(pdu.message_id.decode() if pdu.message_id else None)

    def came(pdu):
        octets = pdu.short_message or pdu.message_payload or b""
        coding = "utf-16-be" if pdu.data_coding == 8 else "latin-1"
        header = octets[0] + 1 if pdu.esm_class & 0x40 else 0
        delivered.append(
            {
                "from": pdu.source_addr.decode(),
                "to": pdu.destination_addr.decode(),
                "receipt": bool(pdu.esm_class & 0x04),
                "text": octets[header:].decode(coding),
                "seq": octets[header - 1] if header else 0,
                "id": (pdu.receipted_message_id or b"").rstrip(b"\0").decode() or None,
                "state": pdu.message_state,
            }
        )

    client = smpplib.client.Client(plan["host"], plan["port"], timeout=1, allow_unknown_opt_params=True)
    client.set_message_sent_handler(answered)
    client.set_message_received_handler(came)
    client.connect()
    client.bind_transceiver(system_id=plan["system_id"], password=plan["password"])
    wanted = 0
    for message in plan["messages"]:
        parts, coding, kind = smpplib.gsm.make_parts(message["text"])
        for part in parts:
            client.send_message(
                source_addr_ton=smpplib.consts.SMPP_TON_INTL,
                source_addr_npi=smpplib.consts.SMPP_NPI_ISDN,
                source_addr=message["from"],
                dest_addr_ton=smpplib.consts.SMPP_TON_INTL,
                dest_addr_npi=smpplib.consts.SMPP_NPI_ISDN,
                destination_addr=message["to"],
                short_message=part,
                data_coding=coding,
                esm_class=kind,
                registered_delivery=True,
            )
            wanted += 1
    deadline = time.monotonic() + plan["patience"]
    while (len(ids) < wanted or len(delivered) < plan["expect"]) and time.monotonic() < deadline:
        try:
            client.read_once()
        except socket.timeout:
            pass
    client.unbind()
    client.disconnect()
    return {"ids": ids, "delivered": delivered}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
