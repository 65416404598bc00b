"""A carrier on smpp34: takes whatever is submitted, reports it as delivered, and prints each text as a line of JSON."""

import asyncio
import json
import sys

import smpp34


async def main(host, port):
    server = smpp34.Server(host=host, port=port, system_id="smpp34")
    await server.start()
    sessions, taken = {}, 0
    print(json.dumps({"ready": True}), flush=True)
    while True:
        event = await server.next()
        if isinstance(event, smpp34.Esme):
            sessions[event.session_id] = event
        elif isinstance(event, smpp34.SubmitSmEvent):
            taken += 1
            ident = f"{taken:08X}"
            print(
                json.dumps(
                    {
                        "id": ident,
                        "from": event.source_addr,
                        "to": event.destination_addr,
                        "esm_class": event.esm_class,
                        "data_coding": event.data_coding,
                        "octets": event.short_message.hex(),
                    }
                ),
                flush=True,
            )
            event.accept(message_id=ident)
            receipt = f"id:{ident} sub:001 dlvrd:001 submit date:2611231126 done date:2611231127 stat:DELIVRD err:000 text:"
            await sessions[event.session_id].deliver_sm(
                event.source_addr,
                receipt.encode(),
                source_addr=event.destination_addr,
                esm_class=0x04,
            )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
