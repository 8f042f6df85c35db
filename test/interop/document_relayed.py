"""A peer on the relayed path (PROTOCOL.md §8) that was written from PROTOCOL.md and from nothing else.

It has no WebRTC: the relayed path is its only one. Like document_peer.py, whose signaling it takes, it is driven by
lines of JSON on stdin (`do`) and tells what happens in lines of JSON on stdout (`event`). Paragraphs are PROTOCOL.md's.
Needs Python 3.11, `websockets` 10 and `cryptography` 38.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import time
import zlib
from collections import deque

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from document_peer import Peer, commands, later, spawn, tell

PART, WINDOW = 16_384, 49_152  # §8 Data
ACK_BYTES, ACK_S = 16_384, 0.05  # §8 Data
LINK_ACK_S, QUIET_S, DEAD_S = 0.1, 1.2, 3  # §7 DATA, PING
MAX_FRAME = 65_536  # of §7; the other side says the same or more
HELLO, DATA, ACK, PING, PONG, CLOSE = 1, 3, 4, 5, 6, 7
# §6: a description that may be read, of a connection that leads nowhere.
SDP = "\r\n".join(
    [
        "v=0",
        "o=- 1 1 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        "a=mid:0",
        "a=ice-ufrag:none",
        "a=ice-pwd:nothing-answers-at-this-one",
        "a=fingerprint:sha-256 " + ":".join(f"{n:02X}" for n in range(32)),
        "a=setup:actpass",
        "a=sctp-port:5000",
        "a=max-message-size:262144",
        "a=mcp-framed:1",
        "",
    ]
)


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def fields(*parts):
    """§7 AUTH."""
    joined = [part.encode() if isinstance(part, str) else part for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in joined)


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def bytes_of_secret(secret):
    """§7 AUTH: the one form of a secret."""
    key, checksum = secret[:-6], from_base64url(secret[-6:])
    if len(secret) != 54 or not key.startswith("mcps1") or zlib.crc32(key.encode()).to_bytes(4, "big") != checksum:
        raise ValueError("not a secret")
    return from_base64url(key[5:])


class Cipher:
    """Noise §5.1, CipherState: AES-256-GCM under a counter."""

    def __init__(self, key):
        self.key, self.n = AESGCM(key), 0

    def nonce(self):
        self.n += 1
        return bytes(4) + (self.n - 1).to_bytes(8, "big")

    def seal(self, text, associated=b""):
        return self.key.encrypt(self.nonce(), text, associated)

    def open(self, sealed, associated=b""):
        return self.key.decrypt(self.nonce(), sealed, associated)


class Noise:
    """Noise §5.2 and §5.3 for NN and NNpsk0 with 25519, AESGCM and SHA256."""

    def __init__(self, prologue, psk=None, ephemeral=None):
        name = f"Noise_NN{'psk0' if psk else ''}_25519_AESGCM_SHA256".encode()
        self.h = self.chain = name.ljust(32, b"\0")
        self.psk, self.cipher, self.remote = psk, None, None
        self.key = X25519PrivateKey.from_private_bytes(ephemeral) if ephemeral else X25519PrivateKey.generate()
        self.mix_hash(prologue)
        self.first = True

    def mix_hash(self, data):
        self.h = hashlib.sha256(self.h + data).digest()

    def derive(self, material, outputs):
        secret, last, all_ = mac(self.chain, material), b"", []
        for n in range(outputs):
            last = mac(secret, last + bytes([n + 1]))
            all_.append(last)
        return all_

    def mix_key(self, material):
        self.chain, key = self.derive(material, 2)
        self.cipher = Cipher(key)

    def begin(self):
        if self.first and self.psk:
            self.chain, data, key = self.derive(self.psk, 3)
            self.mix_hash(data)
            self.cipher = Cipher(key)

    def mix_public(self, public):
        self.mix_hash(public)
        if self.psk:
            self.mix_key(public)
        if not self.first:
            self.mix_key(self.key.exchange(X25519PublicKey.from_public_bytes(self.remote)))
        self.first = False

    def write(self, payload=b""):
        self.begin()
        public = self.key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.mix_public(public)
        sealed = self.cipher.seal(payload, self.h) if self.cipher else payload
        self.mix_hash(sealed)
        return public + sealed

    def read(self, message):
        self.begin()
        self.remote, sealed = message[:32], message[32:]
        self.mix_public(self.remote)
        payload = self.cipher.open(sealed, self.h) if self.cipher else sealed
        self.mix_hash(sealed)
        return payload

    def split(self):
        """The ciphers of the initiator and of the responder, and the third output."""
        first, second, exported = self.derive(b"", 3)
        return Cipher(first), Cipher(second), exported


def prologue_of(iss, room, client, session, gen):
    """§8."""
    return fields("mcp-rendezvous relayed 1", iss, room, "client", client, "server", session, str(gen))


def session_of(h, exported):
    """§8: the session's name, its key, and the key of its further paths."""
    label = fields("mcp-rendezvous session 3", h)
    key = mac(exported, label)
    return base64url(hashlib.sha256(label).digest()[:16]), key, mac(key, b"mcp-rendezvous path 1")


class Path:
    """§8 Data: frames of §7 in sealed pieces, between this peer and one other."""

    def __init__(self, peer, other, gen, send, receive):
        self.peer, self.other, self.gen, self.sealing, self.opening = peer, other, gen, send, receive
        self.queue, self.wake = deque(), asyncio.Event()
        self.sent = self.acknowledged = self.received = self.said = 0
        self.parts, self.acknowledging = b"", None
        self.onframe = lambda frame: None
        spawn(self.pump())

    def send(self, frame):
        self.queue.append(frame)
        self.wake.set()

    async def pump(self):
        while True:
            while not self.queue or self.sent - self.acknowledged >= WINDOW:
                self.wake.clear()
                await self.wake.wait()
            await self.peer.pace(PART)
            frame = self.queue.popleft()
            part, rest = frame[:PART], frame[PART:]
            if rest:
                self.queue.appendleft(rest)
            self.sent += len(part)
            self.seal(bytes([1 if rest else 0]) + part)

    def seal(self, piece):
        self.peer.data(self.other, self.gen.to_bytes(4, "big") + self.sealing.seal(piece))

    def take(self, sealed):
        if not sealed:
            return tell("path_ended", peer=self.other)
        piece = self.opening.open(sealed)
        kind, content = piece[0], piece[1:]
        if kind == 2:
            self.acknowledged = int.from_bytes(content, "big")
            return self.wake.set()
        self.received += len(content)
        self.parts += content
        if self.received - self.said >= ACK_BYTES:
            self.acknowledge()
        elif self.acknowledging is None:
            self.acknowledging = later(ACK_S, self.acknowledge)
        if kind == 0:
            frame, self.parts = self.parts, b""
            self.onframe(frame)

    def acknowledge(self):
        if self.acknowledging is not None:
            self.acknowledging.cancel()
            self.acknowledging = None
        self.said = self.received
        self.seal(b"\2" + self.received.to_bytes(8, "big"))


class Session:
    """§7, framed mode, over one path that lasts as long as the session."""

    def __init__(self, path, onmessage):
        self.path, self.onmessage, self.onready = path, onmessage, lambda: None
        self.sent = self.received = 0
        self.ready, self.over, self.said_close = False, asyncio.Event(), False
        self.text, self.acknowledging, self.heard_at = b"", None, time.monotonic()
        path.onframe = self.take
        spawn(self.keep_alive())

    def send(self, message):
        text = json.dumps(message).encode()
        for at in range(0, len(text), MAX_FRAME):
            self.sent += 1
            end = at + MAX_FRAME >= len(text)
            head = bytes([DATA, 1 if end else 0]) + self.sent.to_bytes(8, "big") + self.received.to_bytes(8, "big")
            self.path.send(head + text[at : at + MAX_FRAME])

    def take(self, frame):
        self.heard_at = time.monotonic()
        match frame[0]:
            case 1:
                tell("hello", **json.loads(frame[1:]))
                self.ready = True
                self.onready()
            case 3:
                self.data(frame[1], int.from_bytes(frame[2:10], "big"), frame[18:])
            case 5:
                self.path.send(bytes([PONG]) + frame[1:5])
            case 7:
                tell("close", code=frame[1], reason=frame[2:].decode())
                self.close()
                self.over.set()

    def data(self, flags, seq, part):
        assert seq == self.received + 1
        self.received = seq
        if flags & 2:
            part = part[4 + int.from_bytes(part[:4], "big") :]
        self.text += part
        if self.acknowledging is None:
            self.acknowledging = later(LINK_ACK_S, self.acknowledge)
        if flags & 1:
            text, self.text = self.text, b""
            self.onmessage(json.loads(text))

    def acknowledge(self):
        self.acknowledging = None
        self.path.send(bytes([ACK]) + self.received.to_bytes(8, "big"))

    def close(self, code=0, reason=""):
        if not self.said_close:
            self.said_close = True
            self.path.send(bytes([CLOSE, code]) + reason.encode())

    async def keep_alive(self):
        while not self.over.is_set():
            await asyncio.sleep(QUIET_S)
            quiet = time.monotonic() - self.heard_at
            if self.ready and quiet > DEAD_S:
                return tell("dead", quiet=quiet)
            if self.ready and quiet > QUIET_S:
                self.path.send(bytes([PING]) + os.urandom(4))


class RelayedPeer(Peer):
    """§8: who it talks to, and the handshake."""

    def __init__(self, psk=None, **options):
        self.psk = psk and bytes_of_secret(psk)
        self.paths, self.subjects, self.full_at, self.rate, self.noise = {}, {}, 0, None, None
        self.is_client = options["claims"]["role"] == "client"
        if self.is_client:
            self.noise = Noise(self.prologue(options["claims"], options["claims"]["sub"], 1), self.psk)
            first = {"kind": "offer", "gen": 1, "body": {"sdp": SDP, "noise": base64url(self.noise.write())}}
            options["first"] = first
        super().__init__(**options)

    @staticmethod
    def prologue(claims, client, gen):
        return prologue_of(claims.get("iss", ""), claims["room"], client, "", gen)

    def joined(self, frame, socket, url):
        self.rate = frame["limits"].get("relayed")
        super().joined(frame, socket, url)

    def presence(self, frame, sent=False):
        if "claims" in frame:
            self.subjects[frame["id"]] = frame["claims"]["sub"]
        super().presence(frame, sent)

    async def pace(self, size):
        """§4: the rate, with `burst` at once after a pause."""
        now = time.monotonic()
        self.full_at = max(self.full_at, now) + size / self.rate["bytesPerSecond"]
        await asyncio.sleep(max(0, self.full_at - now - self.rate["burst"] / self.rate["bytesPerSecond"]))

    def data(self, other, opaque):
        if self.socket is not None:
            spawn(self.write(self.socket, bytes([1, len(other)]) + other.encode() + opaque))

    def relayed(self, frame):
        end = 2 + frame[1]
        other, gen = frame[2:end].decode(), int.from_bytes(frame[end : end + 4], "big")
        path = self.paths.get((other, gen))
        if path is not None:
            path.take(frame[end + 4 :])

    def message(self, other, data):
        super().message(other, data)
        if data["kind"] == "path" and self.noise is not None:
            self.accept(other, data)
        elif data["kind"] == "offer" and "noise" in data["body"] and not self.is_client and self.rate:
            self.answer(other, data)

    def refuse(self, other, gen):
        body = {"code": "failed", "message": "secret_mismatch"}
        self.conversation(other).queue({"kind": "bye", "gen": gen, "body": body})
        tell("failed", peer=other)

    def hello(self, **members):
        auth = "secret" if self.psk else "none"
        nonce = base64url(os.urandom(32))
        return {"nonce": nonce, "maxMessageBytes": 10_485_760, "received": 0, "auth": auth, **members}

    def accept(self, other, data):
        """The client: the server's message ends the handshake."""
        noise, self.noise = self.noise, None
        try:
            said = json.loads(noise.read(from_base64url(data["body"]["noise"])))
        except Exception:
            return self.refuse(other, data["gen"])
        if said["subject"] != self.subjects.get(other):
            return self.refuse(other, data["gen"])
        send, receive, exported = noise.split()
        name, _, _ = session_of(noise.h, exported)
        path = self.paths[other, data["gen"]] = Path(self, other, data["gen"], send, receive)
        path.send(bytes([HELLO]) + json.dumps(self.hello(session=name)).encode())
        spawn(converse(path))

    def answer(self, other, data):
        """The server: it starts nothing before the first message over the path."""
        gen = data["gen"]
        noise = Noise(self.prologue(self.claims, self.subjects[other], gen), self.psk)
        try:
            assert noise.read(from_base64url(data["body"]["noise"])) == b""
        except Exception:
            return self.refuse(other, gen)
        payload = json.dumps({"subject": self.claims["sub"], "hello": self.hello()}).encode()
        message = {"kind": "path", "gen": gen, "body": {"noise": base64url(noise.write(payload))}}
        receive, send, _ = noise.split()
        path = self.paths[other, gen] = Path(self, other, gen, send, receive)
        serve(path)
        self.conversation(other).queue(message)


def serve(path):
    """A small MCP server."""

    def take(message):
        if "id" not in message:
            return
        session.send({"jsonrpc": "2.0", "id": message["id"], "result": result_of(message)})
        if message.get("params", {}).get("name") == "goodbye":
            session.close()

    session = Session(path, take)
    spawn(said(session))


async def said(session):
    await session.over.wait()
    tell("closed")


def result_of(request):
    method, params = request["method"], request.get("params", {})
    if method == "initialize":
        info = {"name": "document-server", "version": "1.0.0"}
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "tools/list":
        return {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in ("add", "large", "goodbye")]}
    if method != "tools/call":
        return {}
    arguments = params.get("arguments", {})
    match params["name"]:
        case "add":
            return {"content": [{"type": "text", "text": str(arguments["a"] + arguments["b"])}]}
        case "large":
            return {"content": [{"type": "text", "text": "x" * arguments["bytes"]}]}
    return {"content": []}


async def converse(path):
    """A small MCP client: the whole exchange, then it closes."""
    pending = {}

    def take(message):
        if "id" in message and "method" not in message:
            pending.pop(message["id"]).set_result(message["result"])

    session = Session(path, take)
    session.ready = True  # the server's HELLO came in its message

    async def call(method, **params):
        id = len(pending) + session.sent + 1
        pending[id] = asyncio.get_running_loop().create_future()
        session.send({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
        return await pending[id]

    info = {"name": "document-client", "version": "1.0.0"}
    begun = await call("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=info)
    session.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
    tools = [tool["name"] for tool in (await call("tools/list"))["tools"]]
    added = await call("tools/call", name="add", arguments={"a": 2, "b": 40})
    large = await call("tools/call", name="large", arguments={"bytes": 200_000, "padding": "y" * 200_000})
    text = {"sum": added["content"][0]["text"], "large": len(large["content"][0]["text"])}
    tell("exchange", server=begun["serverInfo"]["name"], tools=tools, **text)
    session.close()
    await said(session)


def compute(example):
    """The example of §8: what both sides come to with these keys."""
    psk = example["psk"] and bytes.fromhex(example["psk"])
    names = [example[name] for name in ("iss", "room", "client", "session", "gen")]
    ends = [Noise(prologue_of(*names), psk, bytes.fromhex(key)) for key in example["ephemerals"]]
    first = ends[0].write()
    ends[1].read(first)
    second = ends[1].write(example["payload"].encode())
    assert ends[0].read(second) == example["payload"].encode()
    send, _, exported = ends[0].split()
    begun, key, path_key = session_of(ends[0].h, exported)
    return {
        "messages": [first.hex(), second.hex()],
        "hash": ends[0].h.hex(),
        "exported": exported.hex(),
        "begins": {"session": begun, "sessionKey": key.hex(), "pathKey": path_key.hex()},
        "sealed": send.seal(bytes.fromhex(example["plain"])).hex(),
    }


async def main():
    async for command in commands():
        match command.pop("do"):
            case "join":
                spawn(RelayedPeer(**command).come_back())
            case "compute":
                tell("computed", **compute(command["example"]))


if __name__ == "__main__":
    asyncio.run(main())
