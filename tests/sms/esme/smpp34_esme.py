"""A customer's system on smpp34: binds, sends what it is told, waits for what it expects, and prints it as JSON."""

import asyncio
import json
import sys

import smpp34

RECEIPTED_MESSAGE_ID, MESSAGE_STATE = 0x001E, 0x0427


async def main(plan):
    client = smpp34.Client(
        host=plan["host"],
        port=plan["port"],
        system_id=plan["system_id"],
        password=plan["password"],
        bind_type="TRX",
    )
    smsc = await client.connect()

    def submit(message):
        text = message["text"].encode()
        # Longer texts go whole: this one speaks message_payload.
        payload = [smpp34.Tlv(smpp34.TLV_MESSAGE_PAYLOAD, text)] if len(text) > 160 else []
        return smsc.submit_sm(
            message["to"],
            b"" if payload else text,
            source_addr=message["from"],
            source_addr_ton=1,
            source_addr_npi=1,
            dest_addr_ton=1,
            dest_addr_npi=1,
            registered_delivery=1,
            tlvs=payload,
        )

    answers = await asyncio.gather(*(submit(message) for message in plan["messages"]))
    delivered = []
    while len(delivered) < plan["expect"]:
        event = await asyncio.wait_for(smsc.next(), plan["patience"])
        tlvs = {tlv.tag: tlv for tlv in event.tlvs}
        octets = event.short_message
        header = octets[0] + 1 if event.esm_class & 0x40 else 0
        receipted = tlvs.get(RECEIPTED_MESSAGE_ID)
        state = tlvs.get(MESSAGE_STATE)
        delivered.append(
            {
                "from": event.source_addr,
                "to": event.destination_addr,
                "receipt": bool(event.esm_class & 0x04),
                "text": octets[header:].decode("utf-16-be" if event.data_coding == 8 else "latin-1"),
                "seq": octets[header - 1] if header else 0,
                "id": receipted and receipted.as_string(),
                "state": state and state.as_int(),
            }
        )
    await smsc.unbind()
    return {"ids": [answer.message_id for answer in answers], "delivered": delivered}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))))
