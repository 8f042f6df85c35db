"""A peer that was written from PROTOCOL.md and from nothing else: signaling only, no WebRTC.

It shares no line with the relay or the SDK, so that what it cannot do is missing in the document. It is driven by lines
of JSON on stdin (`do`) and tells what happens in lines of JSON on stdout (`event`). Paragraphs are PROTOCOL.md's.
Needs Python 3.11 and `websockets` 10.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import random
import sys
import time
from collections import deque
from socket import IPPROTO_TCP, TCP_CORK

import websockets

SUBPROTOCOL = "mcp-rendezvous.v1"
QUIET_S, PONG_S = 12, 8  # §3 ping
ACK_S = 0.1  # §6 Reliability
GIVE_UP_S = 30  # §6 Reliability


def tell(event, **members):
    print(json.dumps({"event": event, "at": time.monotonic(), **members}), flush=True)


RUNNING = set()


def spawn(coroutine):
    """A task that somebody holds: asyncio itself keeps no strong reference."""
    task = asyncio.create_task(coroutine)
    RUNNING.add(task)
    task.add_done_callback(RUNNING.discard)
    return task


def later(seconds, act):
    return asyncio.get_running_loop().call_later(seconds, act)


def room_token(secret, ttl, **claims):
    """§2: a JWT in HS256. `claims` may overwrite what is set here, for tokens that the relay has to refuse."""

    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    now = int(time.time())
    payload = {"aud": "mcp-rendezvous", "iat": now, "exp": now + ttl, **claims}
    signed = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(payload).encode())
    return (signed + b"." + part(hmac.new(secret.encode(), signed, hashlib.sha256).digest())).decode()


def open_socket(url):
    return websockets.connect(
        url, subprotocols=[SUBPROTOCOL], compression=None, ping_interval=None, close_timeout=2, max_size=None
    )


def verdict(number):
    """§5: what the close number says is to be done."""
    if 4400 <= number < 4430:
        return "give up"
    return "another token" if 4430 <= number < 4450 else "come back"


class Conversation:
    """§6: what this peer and one other say to each other; numbered, acknowledged, repeated."""

    def __init__(self, peer, other):
        self.peer, self.other = peer, other
        self.online, self.lost = True, False
        self.sent = self.received = self.generation = 0
        self.unacknowledged = deque()  # (seq, signal id, message)
        self.heard_at = time.monotonic()  # of the last acknowledgement, or of the first message that waits for one
        self.repeating = self.acknowledging = None

    def queue(self, message, name=None, transmit=True):
        self.sent += 1
        if not self.unacknowledged:
            self.heard_at = time.monotonic()
        self.unacknowledged.append((self.sent, name or self.peer.name(), message | {"seq": self.sent}))
        if transmit:
            self.transmit(self.unacknowledged[-1])
        if self.repeating is None:
            self.repeating = spawn(self.repeat())

    def waits_for(self, name):
        return any(entry[1] == name for entry in self.unacknowledged)

    def transmit(self, entry):
        if self.lost:
            return
        self.settled()
        self.peer.signal(self.other, entry[1], entry[2] | {"ack": self.received})

    def again(self):
        """The other one is online again, or this one has resumed: all that waits, oldest first."""
        for entry in list(self.unacknowledged):
            self.transmit(entry)

    async def repeat(self):
        pause = 1
        while self.unacknowledged:
            await asyncio.sleep(pause)
            pause = min(pause * 2, 8)
            if self.lost:
                self.heard_at = time.monotonic()  # nothing is sent to a lost peer, and nothing given up by its silence
            elif time.monotonic() - self.heard_at > GIVE_UP_S:
                tell("gave_up", peer=self.other, seqs=[seq for seq, _, _ in self.unacknowledged])
                self.unacknowledged.clear()
            else:
                self.again()
        self.repeating = None

    def take(self, data):
        if "ack" in data:
            while self.unacknowledged and self.unacknowledged[0][0] <= data["ack"]:
                seq, _, _ = self.unacknowledged.popleft()
                self.heard_at = time.monotonic()
                tell("acknowledged", peer=self.other, seq=seq)
        if data["kind"] == "ack":
            return
        if "seq" in data:
            if data["seq"] != self.received + 1:
                return self.acknowledge()  # had before, or a gap
            self.received = data["seq"]
            if self.acknowledging is None:
                self.acknowledging = later(ACK_S, self.acknowledge)
        if data["gen"] < self.generation:
            return tell("stale", peer=self.other, gen=data["gen"])
        self.generation = data["gen"]
        self.peer.message(self.other, data)

    def settled(self):
        if self.acknowledging is not None:
            self.acknowledging.cancel()
            self.acknowledging = None

    def acknowledge(self):
        self.settled()
        if not self.lost:
            self.peer.signal(self.other, self.peer.name(), {"kind": "ack", "ack": self.received})

    def end(self):
        self.settled()
        if self.repeating is not None:
            self.repeating.cancel()
            self.repeating = None
        self.unacknowledged.clear()


class Peer:
    """§3, §4: one identity in one room, over one socket after another."""

    def __init__(self, relays, secret, claims, ttls, process=None, first=None):
        self.relays, self.secret, self.claims, self.ttls, self.process = relays, secret, claims, ttls, process
        self.turn = self.names = 0
        self.socket = self.id = self.resume = None
        self.coming = False
        self.conversations = {}
        self.first = first and (self.name(), first)  # a client's first message, which goes inside the join
        self.over = asyncio.Event()

    def name(self):
        self.names += 1
        return f"s{self.names}"

    def token(self):
        return room_token(self.secret, self.ttls.pop(0) if len(self.ttls) > 1 else self.ttls[0], **self.claims)

    def signal(self, to, name, data):
        self.frame({"type": "signal", "id": name, "to": to, "data": data})

    def frame(self, frame):
        """A frame that finds no socket is dropped: what matters is repeated (§6)."""
        if self.socket is not None:
            spawn(self.write(self.socket, json.dumps(frame)))

    def message(self, other, data):
        """What the other one says, once and in order."""
        tell("message", peer=other, **{key: data.get(key) for key in ("kind", "gen", "seq", "body")})

    def relayed(self, frame):
        """§4, relayed data: nothing to a peer that only signals."""

    async def write(self, socket, data):
        try:
            await socket.send(data)
        except websockets.ConnectionClosed:
            pass  # its reader sees the same and comes back

    async def come_back(self):
        """A new socket, at the next relay each time, until one has joined. §5: with full jitter in between."""
        if self.coming:
            return
        self.coming, attempts = True, 0
        while not self.over.is_set() and not await self.join():
            attempts += 1
            await asyncio.sleep(random.uniform(0, min(0.2 * 2**attempts, 10)))
        self.coming = False

    async def join(self):
        url = self.relays[self.turn % len(self.relays)]
        self.turn += 1
        join = {"type": "join", "token": self.token()}
        if self.resume is not None:
            join["resume"] = self.resume
        if self.process is not None:
            join["process"] = self.process
        if self.first is not None:
            join["signal"] = {"id": self.first[0], "data": self.first[1] | {"seq": 1, "ack": 0}}
        try:
            socket = await open_socket(url)
            await socket.send(json.dumps(join))
            frame = json.loads(await socket.recv())
        except (OSError, websockets.WebSocketException) as reason:
            tell("refused", url=url, reason=type(reason).__name__)
            return False
        if frame["type"] == "joined":
            self.joined(frame, socket, url)
            spawn(self.read(socket))
            return True
        await socket.wait_closed()
        self.ended(socket, frame.get("code"))
        return False

    async def read(self, socket):
        asked, error = False, None
        while True:
            try:
                received = await asyncio.wait_for(socket.recv(), PONG_S if asked else QUIET_S)
            except asyncio.TimeoutError:
                if asked:
                    socket.transport.abort()  # taken for lost
                asked = True
                await self.write(socket, '{"type":"ping"}')
                continue
            except websockets.ConnectionClosed:
                break
            asked = False
            if isinstance(received, bytes):
                self.relayed(received)
                continue
            frame = json.loads(received)
            if frame["type"] == "error":
                error = frame["code"]
            elif socket is self.socket:
                self.take(frame)
        await socket.wait_closed()
        if socket is self.socket:  # and not one that this peer has moved away from
            self.socket = None
            self.ended(socket, error)
            await self.come_back()

    def ended(self, socket, error):
        number = socket.close_code
        tell("closed", number=number, reason=socket.close_reason, error=error, verdict=verdict(number))
        if number == 1000 or verdict(number) == "give up":
            self.over.set()

    def joined(self, frame, socket, url):
        resumed = frame["peer"] == self.id
        old, self.socket = self.socket, socket
        self.id, self.resume = frame["peer"], frame["resume"]
        tell("joined", peer=self.id, resumed=resumed, secret=self.resume, url=url, expiresAt=frame["expiresAt"])
        if old is not None:
            spawn(old.close())
        present = [peer["id"] for peer in frame["peers"]]
        for other, conversation in list(self.conversations.items()):
            if resumed and other not in present and conversation.online:
                conversation.lost, conversation.online = True, False
            elif not resumed or other not in present:
                self.forget([other])
        for peer in frame["peers"]:
            self.presence(peer, sent=True)

    def forget(self, others):
        for other in others:
            if other in self.conversations:
                self.conversations.pop(other).end()

    def conversation(self, other):
        if other not in self.conversations:
            self.conversations[other] = Conversation(self, other)
        return self.conversations[other]

    def presence(self, frame, sent=False):
        """`sent`: the first message has gone out already, inside the join."""
        other, state, lost = frame["id"], frame["state"], frame.get("lost", False)
        tell("peer", peer=other, state=state, lost=lost, claims=frame.get("claims"))
        if state == "gone" and not lost:
            return self.forget([other])
        conversation = self.conversation(other)
        conversation.lost, conversation.online = lost, state == "online"
        if state == "online":
            conversation.again()
        if self.first is not None:
            conversation.queue(self.first[1], self.first[0], transmit=not sent)
            self.first = None

    def take(self, frame):
        match frame["type"]:
            case "peer":
                self.presence(frame)
            case "signal":
                self.conversation(frame["from"]).take(frame["data"])
            case "outcome":
                self.outcome(frame)
            case "token_expiring":
                tell("token_expiring", expiresAt=frame["expiresAt"])
                self.frame({"type": "token", "token": self.token()})
            case "goaway":
                tell("goaway", afterMs=frame["afterMs"])
                later(frame["afterMs"] / 1000, lambda: spawn(self.come_back()))
            case "pong":
                tell("pong")
            case "ice_servers":
                tell("ice_servers", count=len(frame["iceServers"]))
            case _:
                pass  # §9: a peer ignores frames of a type that it does not know

    def outcome(self, frame):
        tell("outcome", id=frame["id"], code=frame["code"])
        owner = next((c for c in self.conversations.values() if c.waits_for(frame["id"])), None)
        if owner is None:
            return  # an acknowledgement's: it goes with whatever is sent next
        if frame["code"] == "unavailable":
            later(frame["retryAfterMs"] / 1000, owner.again)
        elif frame["code"] == "forbidden" or (frame["code"] == "gone" and not owner.lost):
            self.forget([owner.other])


def cork(socket, corked):
    """In one piece, so that a second frame is there before the first one is answered."""
    if not socket.transport.is_closing():
        socket.transport.get_extra_info("socket").setsockopt(IPPROTO_TCP, TCP_CORK, corked)


async def provoke(name, url, secret, frames, subprotocol=SUBPROTOCOL):
    """Frames on a socket of its own, and how the relay ends it."""
    error = peer = None
    try:
        async with websockets.connect(url, subprotocols=subprotocol and [subprotocol], compression=None) as socket:
            try:
                cork(socket, "await" not in str(frames))
                for frame in frames:
                    match frame:
                        case {"await": kind}:
                            while (received := json.loads(await socket.recv()))["type"] != kind:
                                pass
                            peer = received.get("peer", peer)
                            tell("got", name=name, type=kind)
                        case {"binary": text}:
                            await socket.send(text.encode())
                        case {"text": text}:
                            await socket.send(text)
                        case {"claims": claims, "ttl": ttl, **members}:
                            await socket.send(json.dumps(members | {"token": room_token(secret, ttl, **claims)}))
                cork(socket, False)
                while True:
                    received = json.loads(await socket.recv())
                    error = received["code"] if received["type"] == "error" else error
            except websockets.ConnectionClosed:
                number, reason = socket.close_code, socket.close_reason
                tell("ended", name=name, peer=peer, number=number, reason=reason, error=error, verdict=verdict(number))
    except websockets.InvalidStatusCode as refused:
        tell("ended", name=name, status=refused.status_code)


async def commands():
    """The lines on stdin."""
    lines = asyncio.StreamReader(limit=2**20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async for line in lines:
        yield json.loads(line)


async def main():
    peer = None
    async for command in commands():
        match command.pop("do"):
            case "join":
                peer = Peer(**command)
                spawn(peer.come_back())
            case "send":
                for message in command["messages"]:
                    peer.conversation(command["to"]).queue(message)
            case "cut":
                peer.socket.transport.abort()
            case "frame":
                peer.frame(command["frame"])
            case "provoke":
                spawn(provoke(**command))


if __name__ == "__main__":
    asyncio.run(main())
