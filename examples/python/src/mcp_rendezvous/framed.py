"""A session in framed mode (PROTOCOL.md, 7 and 9), over one connection after another: any size, and nothing is lost on the way."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
from collections import deque
from typing import Any

from .connection import MAX_FRAME, Connection
from .proof import HELLO, SessionError, fields, from_base64url, mac, parse_hello, to_base64url, violation

AUTH, DATA, ACK, PING, PONG, CLOSE = range(HELLO + 1, HELLO + 7)
END, META = 1, 2
#: Bytes behind the type of a DATA frame, and those of the type itself.
DATA_HEAD = 18
LEAST_FRAME = 1_024
#: Bytes of DATA that may be unacknowledged, and after how many, and how many seconds, this side acknowledges.
WINDOW, ACK_BYTES, ACK_AFTER = 4_194_304, 131_072, 0.1
#: The largest message that this side takes, in bytes.
MAX_MESSAGE = 10_485_760
#: Seconds without a frame: until this side asks, and until the connection counts as dead.
QUIET, DEAD = 3, 8
#: Seconds: for the acknowledgements of what was sent, and for the other side's CLOSE behind them.
CLOSE_LIMIT, CLOSE_ANSWER = 30, 3
#: Seconds that the other side has to close the connection first, after its CLOSE or a move to another connection.
LINGER = 1
#: The codes of CLOSE.
DONE, VIOLATION, TOO_LARGE, NO_PROOF, REFUSED, NO_SESSION = range(6)
CODES = {
    "bad_channel": VIOLATION,
    "message_too_large": TOO_LARGE,
    "secret_mismatch": NO_PROOF,
    "peer_refused": REFUSED,
    "session_lost": NO_SESSION,
}


class FramedSession:
    """One session. `secret`: the key of the end-to-end secret. `context`: who was introduced to whom. `resumable`: another
    connection can take over when one is lost; without it the session ends with its first one.

    `messages` are those of the other side, each with the number that passed() takes once it was passed on; None: the session is over.
    """

    def __init__(self, secret: bytes | None, context: bytes, resumable: bool) -> None:
        self.messages: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        self.name: str | None = None
        self.error: SessionError | None = None
        self.lost = asyncio.Event()
        self.found = asyncio.Event()
        self.over = asyncio.Event()
        #: The largest message that the other side takes, in bytes.
        self.max_message = MAX_MESSAGE
        self._secret, self._context, self.resumable = secret, context, resumable
        self._key: bytes | None = None  # of the session
        self._connection: Connection | None = None
        self._max_frame = LEAST_FRAME
        self._tasks: set[asyncio.Task[Any]] = set()
        self._sent = self._acknowledged = 0
        # (seq, flags, part): all that is not acknowledged, of which the first `_written` are in the channel.
        self._unacknowledged: deque[tuple[int, int, bytes]] = deque()
        self._unacknowledged_bytes = self._written = 0
        self._room = asyncio.Event()
        self._received = self._complete = self._passed = self._said = 0  # seq: had, had whole, passed on, acknowledged
        self._unsaid_bytes = 0
        self._acknowledging: asyncio.TimerHandle | None = None
        self._text = bytearray()
        self._first = True  # the next part is the first one of its message
        self._resumed = self._closing = self._said_close = False
        self._quiet = 0.0
        self._other_closed = False

    # A connection (PROTOCOL.md, 7, HELLO and AUTH; 9)

    async def attach(self, connection: Connection) -> None:
        """The handshake over an open connection, then what the other side has not had. Raises SessionError and closes the connection
        if it fails; a session that stands stays as it was.
        """
        try:
            async with asyncio.timeout(DEAD):
                received = await self._handshake(connection)
        except (SessionError, TimeoutError) as thrown:
            error = thrown if isinstance(thrown, SessionError) else SessionError("peer_silent", "The other side does not answer.")
            if self._key is None or error.code in CODES:
                connection.send(bytes([CLOSE, CODES.get(error.code, DONE)]) + error.message.encode())
            self.spawn(connection.close(LINGER))
            raise error from None
        if self.over.is_set():
            return await connection.close()
        self._acknowledge_up_to(received)
        old, self._connection = self._connection, connection
        if old is not None:
            self.spawn(old.close(LINGER))
        self._written, self._quiet = 0, 0.0
        self.lost.clear()
        self.found.set()
        self.spawn(self._read(connection))
        self.spawn(self._write(connection))
        self.spawn(self._watch(connection))

    async def _handshake(self, connection: Connection) -> int:
        """What the other side has had of this one."""
        max_frame = min(MAX_FRAME, connection.max_message)
        if max_frame < LEAST_FRAME:
            raise violation("its max-message-size is below 1,024")
        offerer, began = connection.offerer, self.name is not None
        own_name = self.name or (to_base64url(os.urandom(16)) if offerer else None)
        own_nonce, auth = to_base64url(os.urandom(32)), "secret" if self._secret is not None else "none"
        hello = {"nonce": own_nonce, "maxMessageBytes": MAX_MESSAGE, "received": self._received, "auth": auth}
        hello |= ({} if own_name is None else {"session": own_name}) | ({} if self.resumable else {"resumable": False})
        connection.send(bytes([HELLO]) + json.dumps(hello).encode())
        other = parse_hello(await self._next(connection))
        if other["auth"] != auth:
            whose = "this side" if auth == "secret" else "the other side"
            raise SessionError("secret_mismatch", f"Only {whose} has an end-to-end secret. Give both sides the same one.")
        name = other.get("session") if began or not offerer else own_name
        if began and name != self.name:
            raise SessionError("session_lost", "The other side did not resume the session.")
        if name is None or (not began and offerer and "session" in other):
            raise violation("its HELLO has a session where it should have none, or none where it should")
        if not self._acknowledged <= other["received"] <= self._sent:
            raise violation("its HELLO acknowledges what was not sent")
        if any(len(part) + DATA_HEAD > max_frame for _, _, part in self._unacknowledged):
            raise SessionError("session_lost", "The other side takes smaller frames than before, in which nothing can be sent again.")
        nonces = [from_base64url(own_nonce), from_base64url(other["nonce"])]
        nonces = nonces if offerer else nonces[::-1]
        key = self._key if began else self._secret
        if key is not None:
            proofs = [mac(key, self._statement(sender, nonces, name, connection)) for sender in ("offerer", "answerer")]
            if offerer:
                connection.send(bytes([AUTH]) + proofs[0])
            proof = await self._next(connection)
            if proof[0] != AUTH:
                raise violation("AUTH was due")
            if not hmac.compare_digest(proof[1:], proofs[1 if offerer else 0]):
                message = "The secrets differ, or the relay changed who was introduced. Compare them; if they are equal, do not trust this relay."
                raise SessionError("secret_mismatch", message)
            if not offerer:
                connection.send(bytes([AUTH]) + proofs[1])
        if not began:
            self._key = mac(b"".join(nonces), b"mcp-rendezvous session 2" + (self._secret or b""))
            self.name, self.max_message = name, min(MAX_MESSAGE, other["maxMessageBytes"])
            self.resumable = self.resumable and other.get("resumable") is not False
        self._resumed, self._max_frame = began, max_frame
        return int(other["received"])

    def _statement(self, sender: str, nonces: list[bytes], name: str, connection: Connection) -> bytes:
        prints = [side.fingerprint for side in (connection.local, connection.remote) if side is not None]
        binding = fields("dtls", *(prints if connection.offerer else prints[::-1]))
        return fields("mcp-rendezvous auth 2", sender, *nonces, name, self._context, binding)

    async def _next(self, connection: Connection) -> bytes:
        """The next frame of a handshake."""
        while True:
            frame = await connection.inbox.get()
            if frame is None:
                raise SessionError("peer_gone", "The connection was closed during the handshake.")
            if not isinstance(frame, bytes) or not frame:
                raise violation("a message that is not a frame")
            if frame[0] == CLOSE:
                raise self._closed_by(frame) or SessionError("peer_gone", "The other side ended the session.")
            if frame[0] in (HELLO, AUTH):
                return frame
            if 0 < frame[0] < CLOSE:
                raise violation("a frame before the handshake was over")

    def _closed_by(self, frame: bytes) -> SessionError | None:
        code, reason = frame[1] if len(frame) > 1 else VIOLATION, frame[2:].decode(errors="replace")
        if code == DONE:
            return None
        name = next((name for name, number in CODES.items() if number == code), "bad_channel")
        return SessionError(name, f"The other side ended the session: {reason}")

    # Messages (PROTOCOL.md, 7, DATA)

    async def send(self, text: bytes) -> None:
        """Sends a message, after those before it; waits while the window is full. Raises SessionError once the session is over."""
        size = self._max_frame - DATA_HEAD
        for at in range(0, len(text), size):
            part = text[at : at + size]
            while self._unacknowledged and self._unacknowledged_bytes + len(part) + DATA_HEAD > WINDOW and not self.over.is_set():
                self._room.clear()
                await self._room.wait()
            if self.over.is_set() or self._closing:
                raise self.error or SessionError("closed", "The session is over.")
            self._sent += 1
            self._unacknowledged.append((self._sent, END if at + size >= len(text) else 0, part))
            self._unacknowledged_bytes += len(part) + DATA_HEAD
            self._wake()

    def passed(self, number: int) -> None:
        """A message was passed on, and may be acknowledged."""
        self._passed = number
        self._acknowledge_soon()

    async def _write(self, connection: Connection) -> None:
        while connection is self._connection and not connection.closed.is_set():
            connection.writable.clear()
            if self._written < len(self._unacknowledged) and not connection.full:
                seq, flags, part = self._unacknowledged[self._written]
                self._written += 1
                head = bytes([DATA, flags]) + seq.to_bytes(8, "big") + self._acknowledgement().to_bytes(8, "big")
                connection.send(head + part)
                await asyncio.sleep(0)
            else:
                await connection.writable.wait()

    def _wake(self) -> None:
        if self._connection is not None:
            self._connection.writable.set()

    def _acknowledgement(self) -> int:
        """What was passed on, and what is kept as a part of a message that is not complete."""
        if self._acknowledging is not None:
            self._acknowledging.cancel()
            self._acknowledging = None
        self._said, self._unsaid_bytes = self._received if self._passed == self._complete else self._passed, 0
        return self._said

    def _acknowledge_soon(self) -> None:
        if self._unsaid_bytes >= ACK_BYTES:
            self._acknowledge()
        elif self._acknowledging is None:
            self._acknowledging = asyncio.get_running_loop().call_later(ACK_AFTER, self._acknowledge)

    def _acknowledge(self) -> None:
        said = self._said
        if self._acknowledgement() > said and self._connection is not None:
            self._connection.send(bytes([ACK]) + self._said.to_bytes(8, "big"))

    def _acknowledge_up_to(self, ack: int) -> None:
        """The other side has had this much."""
        if ack > self._sent:
            raise violation("it acknowledges what was not sent")
        while self._unacknowledged and self._unacknowledged[0][0] <= ack:
            self._unacknowledged_bytes -= len(self._unacknowledged.popleft()[2]) + DATA_HEAD
            self._written = max(0, self._written - 1)
        self._acknowledged = max(self._acknowledged, ack)
        self._room.set()

    async def _read(self, connection: Connection) -> None:
        while connection is self._connection:
            frame = await connection.inbox.get()
            if connection is not self._connection or self.over.is_set():
                return
            if frame is None:
                return self._lose(connection)
            self._quiet = 0.0
            try:
                if not isinstance(frame, bytes) or not frame:
                    raise violation("a message that is not a frame")
                self._take(connection, frame)
            except SessionError as error:
                self.end(error)

    def _take(self, connection: Connection, frame: bytes) -> None:
        kind = frame[0]
        if kind == DATA:
            if len(frame) < DATA_HEAD or frame[1] & ~(END | META):
                raise violation("a DATA frame that is too short, or has unknown flags")
            self._acknowledge_up_to(int.from_bytes(frame[10:18], "big"))
            self._data(frame[1], int.from_bytes(frame[2:10], "big"), frame[18:])
        elif kind == ACK and len(frame) == 9:
            self._acknowledge_up_to(int.from_bytes(frame[1:], "big"))
        elif kind == PING and len(frame) == 5:
            connection.send(bytes([PONG]) + frame[1:])
        elif kind == CLOSE:
            self._other_closed = True
            self.end(self._closed_by(frame), DONE)
        elif 0 < kind < CLOSE and not (kind == PONG and len(frame) == 5):
            raise violation(f"a frame of type {kind} that has no place here")

    def _data(self, flags: int, seq: int, part: bytes) -> None:
        if seq <= self._received and self._resumed:
            return  # it came over the connection before
        if seq != self._received + 1:
            raise violation("a DATA frame is missing")
        self._received = seq
        self._unsaid_bytes += len(part) + DATA_HEAD
        if flags & META:
            size = 4 + int.from_bytes(part[:4], "big")
            if not self._first or len(part) < 4 or size > min(len(part), 4 + 16_384):
                raise violation("its metadata are malformed")
            part = part[size:]
        self._text += part
        self._first = bool(flags & END)
        if len(self._text) > MAX_MESSAGE:
            raise SessionError("message_too_large", f"The other side sent a message of more than {MAX_MESSAGE} bytes.")
        if self._first:
            if self._passed == self._complete:
                self._passed = seq - 1  # the parts before this one count as they did
            self._complete = seq
            self.messages.put_nowait((seq, bytes(self._text)))
            self._text.clear()
        self._acknowledge_soon()

    # The end of a connection, and of the session

    async def _watch(self, connection: Connection) -> None:
        # Counted in steps, so that the time in which this process does not get to run does not count.
        step = 0.5
        while connection is self._connection:
            try:
                await asyncio.wait_for(connection.closed.wait(), step)
                return
            except TimeoutError:
                self._quiet += step
            if self._quiet >= DEAD:
                return self._lose(connection)
            if self._quiet >= QUIET and self._quiet % 1 == 0:
                connection.send(bytes([PING]) + os.urandom(4))

    def _lose(self, connection: Connection) -> None:
        if connection is not self._connection or self.over.is_set():
            return
        self._connection = None
        self.spawn(connection.close())
        if self._said_close:
            self.end()  # whoever has everything may leave
        elif not self.resumable:
            self.end(SessionError("session_lost", "The connection was lost."))
        else:
            self.found.clear()
            self.lost.set()

    async def finish(self, within: float) -> None:
        """Ends the session in order: what was sent before arrives within so many seconds, and both sides say CLOSE. Idempotent."""
        self._closing = True
        try:
            async with asyncio.timeout(within):
                while (self._unacknowledged or self.lost.is_set()) and not self.over.is_set():
                    self._room.clear()
                    await self._room.wait()
                if self._connection is not None and not self.over.is_set():
                    self._said_close = True
                    self._connection.send(bytes([CLOSE, DONE]))
                    async with asyncio.timeout(CLOSE_ANSWER):
                        await self.over.wait()
        except TimeoutError:
            pass
        self.end()

    async def linger(self) -> None:
        """Until the connections are closed, which the other side may do first."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def end(self, error: SessionError | None = None, code: int | None = None) -> None:
        """Ends the session at once; the other side gets a CLOSE with that code, or with the one that the error has."""
        if self.over.is_set():
            return
        self.error = error
        self.over.set()
        self.lost.clear()
        self.found.set()
        self._room.set()
        self.messages.put_nowait(None)
        connection, self._connection = self._connection, None
        if self._acknowledging is not None:
            self._acknowledging.cancel()
        if connection is None:
            return
        if not self._said_close:
            code = CODES.get(error.code, DONE) if error is not None and code is None else code or DONE
            reason = error.message.encode() if error is not None and code != DONE else b""
            connection.send(bytes([CLOSE, code]) + reason)
        # Whoever said CLOSE first closes the channel when the answer is there, the other one a moment later.
        answered = self._said_close and self._other_closed
        self.spawn(connection.close(0 if answered else LINGER))
        connection.writable.set()

    def spawn(self, coroutine: Any) -> None:
        """A task of this session, which linger() waits for."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
