"""Signs what Schemathesis sends, as the clients do: HMAC-SHA256 over method, target, date, host and body."""

import base64
import hashlib
import hmac
import os
from email.utils import formatdate

import schemathesis
from requests.auth import AuthBase

_, _, KEY = os.environ["TRUNKLINE_CONNECTION"].partition("accesskey=")


class Signed(AuthBase):
    def __call__(self, request):
        body = request.body or b""
        body = body if isinstance(body, bytes) else body.encode()
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        date = formatdate(usegmt=True)
        host = request.url.split("/")[2]
        text = f"{request.method}\n{request.path_url}\n{date};{host};{digest}"
        signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), text.encode(), "sha256")).decode()
        signed = "x-ms-date;host;x-ms-content-sha256"
        request.headers["x-ms-date"] = date
        request.headers["x-ms-content-sha256"] = digest
        request.headers["Authorization"] = f"HMAC-SHA256 SignedHeaders={signed}&Signature={signature}"
        return request


schemathesis.auth.set_from_requests(Signed())
