"""A browser that is none: SIP over secure WebSocket (RFC 7118) by hand, and media by aiortc.

Registers with a token of a user (RFC 8898), calls a number, sends a tone, and prints as JSON what came back: the share
of the power that is at the tone, and its level beside what was sent.

peer.py HOST PORT CA USER TOKEN NUMBER TONE_HZ SECONDS
"""

import asyncio
import fractions
import json
import re
import ssl
import sys
import uuid

import av
import numpy
import websockets
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription

RATE = 48_000
SAMPLES = 960
AMPLITUDE = 8_000


class Tone(MediaStreamTrack):
    """A sine in frames of 20 ms, on both channels: libav makes one channel into two 3 dB softer."""

    kind = "audio"

    def __init__(self, hz):
        super().__init__()
        self.hz, self.position, self.start = hz, 0, None

    async def recv(self):
        now = asyncio.get_event_loop().time()
        self.start = now if self.start is None else self.start
        await asyncio.sleep(max(0, self.start + self.position / RATE - now))
        times = (numpy.arange(SAMPLES) + self.position) / RATE
        samples = (AMPLITUDE * numpy.sin(2 * numpy.pi * self.hz * times)).astype(numpy.int16)
        frame = av.AudioFrame.from_ndarray(samples.repeat(2).reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self.position, fractions.Fraction(1, RATE)
        self.position += SAMPLES
        return frame


class Phone:
    def __init__(self, socket, user, host):
        self.socket, self.user, self.host = socket, user, host
        self.via = f"{uuid.uuid4().hex[:12]}.invalid"
        self.address = f"sip:{user}@{host}"
        self.contact = f"<sip:{user}@{self.via};transport=ws>"

    async def send(self, method, target, sequence, dialog, headers=(), body=""):
        call_id, from_tag, to = dialog
        lines = [
            f"{method} {target} SIP/2.0",
            f"Via: SIP/2.0/WSS {self.via};branch=z9hG4bK{uuid.uuid4().hex}",
            "Max-Forwards: 70",
            f"From: <{self.address}>;tag={from_tag}",
            f"To: {to}",
            f"Call-ID: {call_id}",
            f"CSeq: {sequence} {method}",
            f"Contact: {self.contact}",
            *headers,
        ]
        if body:
            lines.append("Content-Type: application/sdp")
        lines.append(f"Content-Length: {len(body.encode())}")
        await self.socket.send("\r\n".join(lines) + "\r\n\r\n" + body)

    async def final(self, sequence):
        """Returns the final response, and fails when it is no 200."""
        while True:
            message = await self.socket.recv()
            text = message if isinstance(message, str) else message.decode()
            status = re.match(r"SIP/2\.0 (\d+)", text)
            if not status or not re.search(rf"(?im)^cseq:\s*{sequence} ", text):
                continue
            if int(status[1]) >= 200:
                assert status[1] == "200", text
                return text

    async def register(self, token):
        dialog = (uuid.uuid4().hex, uuid.uuid4().hex, f"<{self.address}>")
        headers = [f"Authorization: Bearer {token}", "Expires: 300", "Supported: outbound, path"]
        await self.send("REGISTER", f"sip:{self.host}", 1, dialog, headers)
        return await self.final(1)


def header(message, name):
    return re.search(rf"(?im)^{name}:\s*(.+?)\r?$", message)[1]


async def listen(track, seconds):
    """Returns what comes on the left, at 48 kHz."""
    resampler = av.AudioResampler(format="s16", layout="stereo", rate=RATE)
    heard = []
    while sum(map(len, heard)) < seconds * RATE:
        for frame in resampler.resample(await track.recv()):
            heard.append(frame.to_ndarray().reshape(-1)[::2])
    return numpy.concatenate(heard).astype(float)


def judge(heard, hz):
    """Returns what the loudest second is made of: what comes before is a handshake and a jitter buffer."""
    windows = [heard[at : at + RATE] for at in range(0, len(heard) - RATE + 1, RATE // 2)]
    window = max(windows, key=lambda samples: float((samples**2).sum()))
    energy = float((window**2).sum())
    turns = 2 * numpy.pi * hz * numpy.arange(len(window)) / RATE
    part = abs(complex((window * numpy.cos(turns)).sum(), (window * numpy.sin(turns)).sum())) ** 2
    share = 2 * part / len(window) / energy if energy else 0.0
    level_db = 10 * numpy.log10(energy / len(window) / (AMPLITUDE**2 / 2)) if energy else -120.0
    return {"share": share, "level_db": float(level_db)}


async def main():
    host, port, authority, user, token, number, hz, seconds = sys.argv[1:]
    trust = ssl.create_default_context(cafile=authority)
    url = f"wss://{host}:{port}/sip"
    async with websockets.connect(url, ssl=trust, subprotocols=["sip"], open_timeout=30) as socket:
        phone = Phone(socket, user, host)
        await phone.register(token)

        connection = RTCPeerConnection()
        tracks = asyncio.get_event_loop().create_future()
        connection.on("track", tracks.set_result)
        connection.addTrack(Tone(float(hz)))
        await connection.setLocalDescription(await connection.createOffer())
        target = f"sip:{number}@{host}"
        call_id, tag = uuid.uuid4().hex, uuid.uuid4().hex
        dialog = (call_id, tag, f"<{target}>")
        await phone.send("INVITE", target, 2, dialog, body=connection.localDescription.sdp)
        answered = await phone.final(2)
        remote = re.search(r"<(.+?)>", header(answered, "Contact"))[1]
        dialog = (call_id, tag, header(answered, "To"))
        await phone.send("ACK", remote, 2, dialog)
        answer = answered.split("\r\n\r\n", 1)[1]
        await connection.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))

        heard = await asyncio.wait_for(listen(await tracks, float(seconds)), 60)
        codecs = [line.split(" ", 1)[1] for line in answer.splitlines() if line.startswith("a=rtpmap:")]
        print(json.dumps({"codec": codecs[0], "state": connection.connectionState, **judge(heard, float(hz))}))
        await phone.send("BYE", remote, 3, dialog)
        await phone.final(3)
        await connection.close()


asyncio.run(main())
