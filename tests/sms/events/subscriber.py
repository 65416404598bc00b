"""A subscriber over HTTPS, which reads events with the official Event Grid library: subscriber.py CERTIFICATE KEY FILE.

It prints its port. Every request is a line of JSON in FILE. What it answers depends on the path:
  /good...     takes everything                /signed  takes what is signed with SECRET
  /link        takes the validation event without answering its code
  /wrong       answers another code            /refuse  refuses the validation
  /bad...      takes the validation, then answers 400 until the file FILE.mended exists
  /down...     takes the validation, then answers 503 until the file FILE.mended exists
  /hang        takes the validation, then answers nothing
  /flaky       takes the validation, then answers 500 to every third request
  /redirect    answers 307 to the path /good-elsewhere
"""

import json
import os
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from azure.core.messaging import CloudEvent
from azure.eventgrid import EventGridEvent, SystemEventNames
from standardwebhooks import Webhook

CERTIFICATE, KEY, FILE = sys.argv[1:]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LOCK = threading.Lock()
COUNTS = {}
KNOWN = {SystemEventNames.AcsSmsReceivedEventName, SystemEventNames.AcsSmsDeliveryReportReceivedEventName}


def parse(headers, body):
    """The event as the library reads it."""
    if headers["content-type"].startswith("application/cloudevents+json"):
        event = CloudEvent.from_json(body)
        kind, about = event.type, event.source
        assert event.specversion == "1.0" and event.time.tzinfo is not None
    else:
        (one,) = json.loads(body)
        event = EventGridEvent.from_json(json.dumps(one))
        kind, about = event.event_type, event.topic
        assert event.data_version == "1.0" and event.event_time
    assert kind in {name.value for name in KNOWN}, kind
    return {"type": kind, "id": event.id, "subject": event.subject, "about": about, "data": event.data}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_OPTIONS(self):
        self.note({}, None)
        if self.path.startswith("/refuse"):
            return self.answer(403)
        origin = {} if self.path.startswith("/link") else {"WebHook-Allowed-Origin": "elsewhere.example" if self.path.startswith("/wrong") else self.headers["WebHook-Request-Origin"]}
        self.answer(200, headers=origin)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        path = self.path
        if self.headers["aeg-event-type"] == "SubscriptionValidation":
            self.note({}, body)
            (event,) = json.loads(body)
            code = EventGridEvent.from_json(json.dumps(event)).data["validationCode"]
            if path.startswith("/refuse"):
                return self.answer(403)
            if path.startswith("/redirect"):
                return self.answer(307, headers={"Location": "/good-elsewhere"})
            said = {"/link": {}, "/wrong": {"validationResponse": "00000000-0000-4000-8000-000000000000"}}
            return self.answer(200, said.get(path, {"validationResponse": code}))
        event = parse({name.lower(): value for name, value in self.headers.items()}, body)
        with LOCK:
            COUNTS[path] = COUNTS.get(path, 0) + 1
            count = COUNTS[path]
        status = 200
        mended = os.path.exists(f"{FILE}.mended")
        if path.startswith("/bad") and not mended:
            status = 400
        elif path.startswith("/down") and not mended:
            status = 503
        elif path.startswith("/flaky") and count % 3 == 0:
            status = 500
        if path.startswith("/signed"):
            event["verified"] = Webhook(SECRET).verify(body, dict(self.headers)) is not None
        self.note({"event": event, "status": status}, body)
        if path.startswith("/hang"):
            time.sleep(3600)
        self.answer(status)

    def note(self, more, body):
        headers = {name.lower(): value for name, value in self.headers.items()}
        line = {"method": self.command, "path": self.path, "headers": headers, "body": body, **more}
        with LOCK, open(FILE, "a") as file:
            file.write(json.dumps(line) + "\n")

    def answer(self, status, body=None, headers={}):
        payload = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.send_header("Content-Type", "application/json")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


server = Server(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERTIFICATE, KEY)
# Handshakes belong to the threads of their connections.
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
open(FILE, "a").close()
print(server.server_address[1], flush=True)
server.serve_forever()
