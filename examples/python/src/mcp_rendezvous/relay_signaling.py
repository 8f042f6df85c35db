"""Signaling through an mcp-rendezvous relay, with the interface of aiortc's BaseSignaling: connect, send, receive, close.

Whatever takes one of aiortc's signaling objects takes this one. The token says whether this peer is the room's MCP server or a
client of it, and thereby whom it talks to: a client to the room's server, a server to one client. Between two such peers either
side makes the offer; a server of the mcp-rendezvous SDK waits for the client's, and an SDK's client makes it.

This file stands alone, for programs that bring a transport of their own. It needs aiortc, and websockets 10 or newer.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import re
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import websockets
from aiortc import RTCIceCandidate, RTCIceServer, RTCSessionDescription
from aiortc.contrib.signaling import BYE
from aiortc.sdp import candidate_from_sdp, candidate_to_sdp
from websockets.typing import Subprotocol

SUBPROTOCOL = Subprotocol("mcp-rendezvous.v1")
# Seconds. The first three are PROTOCOL.md, 6; the relay keeps a lost peer's place for 30 s.
FIRST_REPEAT, LONGEST_REPEAT, GIVE_UP_AFTER = 1, 8, 30
REJOIN_WITHIN = 30
# aiortc takes messages of any size but says 65536, to which others keep (RFC 8841, 6). This is what
# browsers say.
MAX_MESSAGE_SIZE = "a=max-message-size:262144"
# A description waits a moment for the candidates right behind it. aiortc gives up at once when it
# knows none at the beginning, and a peer may have none before it is answered: then it gets one that
# leads nowhere (the discard port), and keeps looking.
MORE_CANDIDATES = 0.1
NOWHERE = "a=candidate:0 1 udp 1 127.0.0.1 9 typ host\r\na=candidate:0 1 udp 1 ::1 9 typ host\r\n"


class SignalingError(Exception):
    """What ended the signaling. `code` is one of PROTOCOL.md, 5, or one of this file; `final`: another attempt fails as well."""

    def __init__(self, code: str, message: str, final: bool = True) -> None:
        super().__init__(f"{message} ({code})")
        self.code, self.final = code, final


@dataclass(frozen=True)
class Goodbye:
    """The other peer's word that a negotiation is over: `code` is one of PROTOCOL.md, 6. Only a transport that renegotiates gets it."""

    code: str
    message: str


def as_it_is(sdp: str) -> str:
    """A description with the size of messages that aiortc takes, and in the form of RFC 8841: libwebrtc reads no size in an older one."""
    sdp = re.sub("^a=max-message-size:.*(?=\\r)", MAX_MESSAGE_SIZE, sdp, flags=re.MULTILINE)
    sdp = re.sub("^(m=application \\d+) DTLS/SCTP \\d+", "\\1 UDP/DTLS/SCTP webrtc-datachannel", sdp, flags=re.MULTILINE)
    return re.sub("^a=sctpmap:(\\d+) .*(?=\\r)", "a=sctp-port:\\1", sdp, flags=re.MULTILINE)


def well_formed(data: Any) -> bool:
    """Whether this is what PROTOCOL.md, 6 has between peers. Whatever else comes is ignored."""
    if not isinstance(data, dict) or any(not isinstance(data.get(name, 0), int) for name in ("gen", "seq", "ack")):
        return False
    body, kind = data.get("body"), data.get("kind")
    members = {"offer": ["sdp"], "answer": ["sdp"], "candidate": ["candidate"], "bye": ["code", "message"]}.get(str(kind))
    if members is None:
        return bool(kind == "ack")
    return "gen" in data and isinstance(body, dict) and all(isinstance(body.get(name), str) for name in members)


class RelaySignaling:
    """One peer's place in a room, and its conversation with one other peer there.

    `url`: the relay's address, such as wss://relay.example. `token`: a room token, or a coroutine function that fetches one and
    is called again whenever a fresh one is due. `timeout`: seconds that connect() may take, and an offer may keep receive()
    waiting once the other peer is there.

    A transport whose session outlives its connection sets `renegotiates`: then it also gets later offers, may send some itself, and
    gets a Goodbye when the other peer ends a negotiation, which does not end the signaling. `session` is the name of the session
    that it keeps; a peer that offers to resume that one is let in under another id.
    """

    renegotiates = False
    session: str | None = None
    #: The session is over, and this peer about to leave: an offer is not for it, but for the one that takes its place.
    ended = False
    #: The operator removed this peer or the other one: their session ends.
    removed = False

    def __init__(self, url: str, token: str | Callable[[], Awaitable[str]], timeout: float = 30) -> None:
        self._url = re.sub("^http", "ws", url.rstrip("/")) + "/v1/connect"
        self._token = token
        self._timeout = timeout
        self._process = uuid.uuid4().hex
        self._inbox: asyncio.Queue[tuple[int, Any]] = asyncio.Queue()  # each behind how many offers had come
        self._socket: Any = None  # the type's name depends on the version of websockets
        self._reading: asyncio.Task[None] | None = None
        self._repeating: asyncio.Task[None] | None = None
        self._moving: asyncio.Task[None] | None = None
        self._joining = asyncio.Lock()
        self._id = self._resume = self._role = ""
        self._room = self._shown = ""
        self._ice_servers: list[dict[str, Any]] = []
        self._claims: dict[str, dict[str, Any]] = {}  # of each peer, as the relay told
        self._online: list[str] = []  # peers that may be signalled, in the order in which they came
        self._peer: str | None = None  # the one that this one talks to
        self._offer: str | None = None  # the SDP of this side's offer …
        self._due = False  # … which nobody has been sent yet
        self._gen = self._sent = self._received = self._signals = 0
        # Offers: the `gen` of this side's last one, how many came, and which of them receive() returned last.
        self._made = self._had = self._given = 0
        self._unacknowledged: list[dict[str, Any]] = []
        self._waiting_since = 0.0
        self._answered = self._over = False
        # A description that waits for candidates, and what lets go of it.
        self._held: RTCSessionDescription | None = None
        self._holding: asyncio.TimerHandle | None = None

    @property
    def ice_servers(self) -> list[RTCIceServer]:
        """The STUN and TURN servers that the relay names, for RTCConfiguration; known after connect()."""
        return [
            RTCIceServer(urls=one["urls"], username=one.get("username"), credential=one.get("credential"))
            for one in self._ice_servers
        ]

    @property
    def introduction(self) -> tuple[str, str, str, str, str, str, str]:
        """Who was introduced to whom (PROTOCOL.md, 7, AUTH): room, this side's issuer, the other side's, and role and subject of both,
        this side's first. What concerns this side comes from its own token, the rest from the relay.
        """
        part = self._shown.split(".")[1]
        own = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        other = self._claims.get(self._peer or "", {})
        # An identity provider's token may say room and role in other claims, which the relay has read.
        both = (own.get("role", self._role), own["sub"], other.get("role", ""), other.get("sub", ""))
        return (own.get("room", self._room), own.get("iss", ""), other.get("iss", ""), *both)

    async def connect(self) -> None:
        """Joins the room. Raises SignalingError with the relay's verdict, or `relay_unreachable`."""
        if self._socket is not None:
            return
        try:
            await asyncio.wait_for(self._join(), self._timeout)
        except (OSError, asyncio.TimeoutError, websockets.InvalidHandshake) as cause:
            raise SignalingError("relay_unreachable", f"No relay answers at {self._url}.") from cause
        self._reading = asyncio.create_task(self._read())
        self._repeating = asyncio.create_task(self._repeat())

    async def send(self, descr: Any) -> None:
        """Sends a description, a candidate or BYE; an offer, as soon as the other peer is in the room."""
        if isinstance(descr, RTCIceCandidate):
            line = "candidate:" + candidate_to_sdp(descr)
            await self._post("candidate", {"candidate": line, "sdpMid": descr.sdpMid, "sdpMLineIndex": descr.sdpMLineIndex})
        elif isinstance(descr, RTCSessionDescription) and descr.type == "offer":
            self._offer, self._due, self._answered = as_it_is(descr.sdp), True, False
            if self._online:
                await self._talk_to(self._peer if self._peer in self._online else self._online[0])
        elif isinstance(descr, RTCSessionDescription):
            if self._given != self._had:
                return  # a newer offer waits in receive()
            self._answered = True
            await self._post(descr.type, {"sdp": as_it_is(descr.sdp)})
        else:
            await self.goodbye("closed", "This side is done.")

    async def goodbye(self, code: str, message: str) -> None:
        """Ends the negotiation: `code` is one of PROTOCOL.md, 6, `message` is for people."""
        await self._post("bye", {"code": code, "message": message})

    async def receive(self) -> Any:
        """The next description or candidate; BYE when the other peer is done, or there is nothing to come any more.

        Raises SignalingError when the signaling ends before descriptions were exchanged. Later it does not: the connection
        between the peers does not need the relay.
        """
        if self._over and self._inbox.empty():
            return BYE
        waits_for_an_offer = self._role == "client" and self._offer is None and self._gen == 0
        try:
            had, item = await asyncio.wait_for(self._inbox.get(), self._timeout if waits_for_an_offer else None)
        except asyncio.TimeoutError:
            if not self._online:
                raise SignalingError("peer_absent", "No MCP server is in the room.", final=False) from None
            message = "The room's server makes no offer: it waits for this side's. With mcp-webrtc pass WebRTCClientParameters(initiator=True)."
            raise SignalingError("peer_silent", message) from None
        if isinstance(item, SignalingError):
            raise item
        if isinstance(item, RTCSessionDescription) and item.type == "offer":
            self._given = had
        return item

    async def close(self) -> None:
        """Says goodbye and leaves the room. Idempotent."""
        socket, self._socket = self._socket, None
        for task in (self._reading, self._repeating, self._moving):
            if task is not None:
                task.cancel()
        if socket is not None:
            if self._peer is not None and not self._over:
                data = {"kind": "bye", "gen": self._gen, "body": {"code": "closed", "message": "This side is done."}}
                await self._signal(socket, self._peer, data)
            await self._give(socket, {"type": "leave"})
            await socket.close()
        self._end()

    # The room (PROTOCOL.md, 1 to 5)

    async def _fresh_token(self) -> str:
        if isinstance(self._token, str):
            return self._token
        try:
            return await self._token()
        except Exception as cause:
            raise SignalingError("token_unavailable", "Fetching a room token failed.", final=False) from cause

    def _is_final(self, number: int) -> bool:
        """The close number's range is the verdict; another token helps only where there is one."""
        return 4400 <= number < 4430 or (4430 <= number < 4450 and isinstance(self._token, str))

    async def _join(self) -> None:
        self._shown = await self._fresh_token()
        join = {"type": "join", "token": self._shown, "process": self._process}
        if self._resume:
            join["resume"] = self._resume
        socket = await websockets.connect(self._url, subprotocols=[SUBPROTOCOL], compression=None, close_timeout=1)
        try:
            frame = await self._answer(socket, join)
        except BaseException:  # also when the time for the answer is over, which cancels this
            await socket.close()
            raise
        before, self._socket = self._socket, socket
        if self._id not in ("", frame["peer"]):  # under another id it is a stranger to all
            self._renumber()
        self._id, self._resume = frame["peer"], frame["resume"]
        self._room, self._role = frame["room"], frame["role"]
        self._ice_servers = frame["iceServers"]
        self._online = []
        for peer in frame["peers"]:
            await self._peer_is(peer)
        if self._peer not in [None, *(peer["id"] for peer in frame["peers"])]:
            await self._peer_is({"id": self._peer, "state": "gone", "lost": True})  # it may be: nobody has told
        if before is not None:
            await before.close()

    async def _answer(self, socket: Any, join: dict[str, Any]) -> dict[str, Any]:
        await self._give(socket, join)
        try:
            frame: dict[str, Any] = json.loads(await socket.recv())
        except websockets.ConnectionClosed as closed:
            raise SignalingError("relay_unreachable", "The relay closed the socket.", final=False) from closed
        if frame["type"] == "error":
            await socket.wait_closed()
            raise SignalingError(frame["code"], frame["message"], self._is_final(socket.close_code))
        if self._id not in ("", frame["peer"]) and not self.renegotiates:
            raise SignalingError("place_lost", "The relay has given this peer's place away.")
        return frame

    async def _read(self) -> None:
        try:
            while not self._over:
                socket = self._socket
                try:
                    received = await socket.recv()
                    if isinstance(received, str):  # relayed data is binary, and for peers that said so
                        await self._frame(json.loads(received))
                except websockets.ConnectionClosed as closed:
                    if socket is self._socket:  # and has not been left for another one
                        number, code = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")
                        if self._is_final(number):
                            raise SignalingError(code, "The relay closed the socket for good.") from closed
                        await self._rejoin(socket)
        except SignalingError as error:
            self.removed = error.code in ("kicked", "token_revoked")
            self._end(error)

    async def _rejoin(self, replaced: Any) -> None:
        """Takes the place back on a new socket, unless that has happened in the meantime or the relay's verdict is final."""
        loop = asyncio.get_running_loop()
        # Without a relay a session that stands goes on, and needs it again when its connection is lost.
        give_up_at, delay = loop.time() + (float("inf") if self.session else REJOIN_WITHIN), 0.5
        async with self._joining:
            while self._socket is replaced and not self._over:
                try:
                    await asyncio.sleep(random.uniform(0, delay))
                    return await asyncio.wait_for(self._join(), self._timeout)
                except SignalingError as error:
                    if error.final or loop.time() > give_up_at:
                        raise
                except (OSError, asyncio.TimeoutError, websockets.InvalidHandshake) as cause:
                    if loop.time() > give_up_at:
                        raise SignalingError("relay_unreachable", "The relay was lost and did not come back.") from cause
                delay = min(2 * delay, LONGEST_REPEAT)

    async def _move(self, after_ms: float) -> None:
        """To another instance, before this one stops. The old socket serves until the new one stands."""
        await asyncio.sleep(after_ms / 1000)
        try:
            await self._rejoin(self._socket)
        except SignalingError as error:
            self._end(error)

    async def _frame(self, frame: dict[str, Any]) -> None:
        kind = frame["type"]
        if kind == "peer":
            await self._peer_is(frame)
        elif kind == "signal":
            if well_formed(frame["data"]):
                await self._signalled(frame["from"], frame["data"])
        elif kind == "outcome" and frame["code"] in ("gone", "forbidden") and self._peer not in self._online and not self.session:
            self._end(SignalingError("peer_gone", "The other peer has left the room.", final=False))
        elif kind == "ice_servers":
            self._ice_servers = frame["iceServers"]
        elif kind == "token_expiring" and not isinstance(self._token, str):
            try:
                token = await self._fresh_token()
                if token != self._shown:  # or there is no other one yet; the relay asks again
                    self._shown = token
                    await self._give(self._socket, {"type": "token", "token": token})
            except SignalingError:
                pass  # it is fetched again when the relay has closed the socket for the old one
        elif kind == "goaway":
            self._moving = asyncio.create_task(self._move(frame["afterMs"]))
        # Others are for later versions, or come before the socket is closed, which says the same.

    async def _peer_is(self, frame: dict[str, Any]) -> None:
        peer, state = frame["id"], frame["state"]
        if peer in self._online:
            self._online.remove(peer)
        self._claims[peer] = frame.get("claims", self._claims.get(peer, {}))
        if state == "online":
            self._online.append(peer)
            if self._due or (self._offer is not None and not self._answered and self._peer not in self._online):
                await self._talk_to(peer)
            elif peer == self._peer:
                await self._post_again()
        elif state == "gone" and peer == self._peer:
            if frame.get("reason") in ("kicked", "revoked"):
                self.removed = True
                self._peer_gone(peer)
            elif self._role == "server" and not self.session:
                # A room's server is replaced by another one, to which the offer goes again; a client is
                # not.
                if frame.get("lost", False):
                    asyncio.get_running_loop().call_later(GIVE_UP_AFTER, self._peer_gone, peer)
                else:
                    self._peer_gone(peer)

    def _peer_gone(self, peer: str) -> None:
        if peer not in self._online:
            self._end(SignalingError("peer_gone", "The other peer has left the room.", final=False))

    # The other peer (PROTOCOL.md, 6)

    async def _talk_to(self, peer: str) -> None:
        """Offers to this peer from now on."""
        if peer == self._peer:
            await self._post_again()
        else:
            self._turn_to(peer)
        self._due = False
        self._made = max(self._made, self._gen) + 1
        self._gen = self._made
        await self._post("offer", {"sdp": self._offer})

    def _turn_to(self, peer: str) -> None:
        self._peer = peer
        self._renumber()

    def _renumber(self) -> None:
        self._gen = self._sent = self._received = 0
        self._unacknowledged = []

    def _returns(self, peer: str, sdp: str) -> bool:
        """Whether the peer of the session that is kept offers under another id: who it is it proves over the connection."""
        if self.session is None:
            return False
        same = all(self._claims.get(peer, {}).get(name) == self._claims[self._peer or ""].get(name) for name in ("iss", "sub"))
        return same and f"resume={self.session}" in sdp

    async def _signalled(self, sender: str, data: dict[str, Any]) -> None:
        kind, gen = data["kind"], data.get("gen", 0)
        if sender != self._peer:
            if kind != "offer" or self.ended:
                return
            if self._peer is not None and not self._returns(sender, data["body"]["sdp"]):
                body = {"code": "busy", "message": "This peer talks to one other peer and has one."}
                return await self._signal(self._socket, sender, {"kind": "bye", "gen": gen, "body": body})
            self._turn_to(sender)
        waiting = [one for one in self._unacknowledged if one["seq"] > data.get("ack", 0)]
        if len(waiting) < len(self._unacknowledged):
            self._unacknowledged, self._waiting_since = waiting, asyncio.get_running_loop().time()
        if kind == "ack":
            return
        if "seq" in data:
            expected = data["seq"] == self._received + 1
            if expected:
                self._received += 1
            await self._signal(self._socket, sender, {"kind": "ack", "ack": self._received})
            if not expected:
                return
        body = data["body"]
        if kind == "offer":
            if self._offer is not None and not self.session:
                message = "Both peers made the offer. With mcp-webrtc pass initiator=False to one of them."
                raise SignalingError("bad_signal", message)
            if gen > self._gen and (self.renegotiates or not self._answered):
                self._gen, self._answered = gen, False
                self._had += 1
                self._described(RTCSessionDescription(body["sdp"], "offer"))
        elif gen != self._gen:
            return  # of an older negotiation
        elif kind == "answer":
            self._answered = True
            self._described(RTCSessionDescription(body["sdp"], "answer"))
        elif kind == "candidate":
            self._candidate(body)
        elif kind == "bye" and self.renegotiates:
            self._inbox.put_nowait((self._had, Goodbye(body["code"], body["message"])))
        elif kind == "bye":
            message = f"The other peer ended the negotiation: {body['message']}"
            self._end(SignalingError(f"peer_{body['code']}", message, final=False))

    def _described(self, description: RTCSessionDescription) -> None:
        if self._holding is not None:
            self._holding.cancel()
        if re.search("^a=candidate:", description.sdp, flags=re.MULTILINE):
            return self._inbox.put_nowait((self._had, description))
        self._held = description
        self._let_go_soon()

    def _let_go_soon(self) -> None:
        self._holding = asyncio.get_running_loop().call_later(MORE_CANDIDATES, self._let_go)

    def _let_go(self) -> None:
        if self._held is not None:
            if not re.search("^a=candidate:", self._held.sdp, flags=re.MULTILINE):
                self._hold(self._held, NOWHERE)
            self._inbox.put_nowait((self._had, self._held))
        self._held = None

    @staticmethod
    def _hold(description: RTCSessionDescription, lines: str) -> None:
        # There is one m= section, so that the end of the description is the end of it.
        description.sdp = f"{description.sdp.rstrip()}\r\n{lines}"

    def _candidate(self, body: dict[str, Any]) -> None:
        if re.fullmatch("[ -~]+", body["candidate"]) is None:
            return  # it would be more than one line of a description
        if self._held is not None and self._holding is not None:
            self._hold(self._held, f"a={body['candidate']}\r\n")
            self._holding.cancel()
            return self._let_go_soon()
        try:
            candidate = candidate_from_sdp(body["candidate"].split(":", 1)[1])
        except (IndexError, ValueError, AssertionError):
            return  # one that aiortc does not understand is no reason to give up the others
        candidate.sdpMid, candidate.sdpMLineIndex = body.get("sdpMid"), body.get("sdpMLineIndex")
        self._inbox.put_nowait((self._had, candidate))

    async def _post(self, kind: str, body: dict[str, Any]) -> None:
        """Sends, and repeats until it is acknowledged."""
        if self._peer is None:
            raise SignalingError("peer_absent", "There is no other peer to send this to.", final=False)
        self._sent += 1
        data = {"kind": kind, "gen": self._gen, "seq": self._sent, "body": body}
        if not self._unacknowledged:
            self._waiting_since = asyncio.get_running_loop().time()
        self._unacknowledged.append(data)
        await self._signal(self._socket, self._peer, {**data, "ack": self._received})

    async def _post_again(self) -> None:
        for data in list(self._unacknowledged):
            await self._signal(self._socket, self._peer or "", {**data, "ack": self._received})

    async def _repeat(self) -> None:
        delay = FIRST_REPEAT
        while not self._over:
            await asyncio.sleep(delay)
            if not self._unacknowledged:
                delay = FIRST_REPEAT
                continue
            if not self.session and asyncio.get_running_loop().time() - self._waiting_since > GIVE_UP_AFTER:
                self._end(SignalingError("peer_silent", "The other peer acknowledges nothing.", final=False))
            if self._peer in self._online:
                await self._post_again()
            delay = min(2 * delay, LONGEST_REPEAT)

    async def _signal(self, socket: Any, peer: str, data: dict[str, Any]) -> None:
        self._signals += 1
        await self._give(socket, {"type": "signal", "id": str(self._signals), "to": peer, "data": data})

    async def _give(self, socket: Any, frame: dict[str, Any]) -> None:
        try:
            await socket.send(json.dumps(frame))
        except websockets.ConnectionClosed:
            pass  # _read() sees it, too; what matters is sent again when the place is taken back

    def _end(self, error: SignalingError | None = None) -> None:
        if self._over:
            return
        self._over = True
        self._let_go()
        exchanged = self._answered or self.session is not None
        self._inbox.put_nowait((self._had, BYE if error is None or exchanged else error))
