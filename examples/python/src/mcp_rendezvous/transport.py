"""MCP transports over WebRTC: read and write streams for `ClientSession` and `Server`, as mcp-webrtc has them, and framed mode."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Literal

import anyio
from aiortc import RTCIceCandidate, RTCSessionDescription
from aiortc.contrib.signaling import BYE, BaseSignaling
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp.types import ErrorData, JSONRPCError, JSONRPCMessage
from pydantic import TypeAdapter

from .connection import FRAMING, Connection
from .description import DescriptionError, parse_description
from .framed import CLOSE_LIMIT, FramedSession
from .plain import PlainSession
from .proof import SessionError, fields, key_of_secret
from .relay_signaling import Goodbye, RelaySignaling, SignalingError

logger = logging.getLogger(__name__)

Streams = tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]
Role = Literal["client", "server"]

#: Seconds that a connection may take to open, a lost one has to be replaced, and one attempt at that may take.
OPEN_WITHIN, KEEP, ATTEMPT = 30, 30, 8
#: Seconds that the end of a session may take when the program was interrupted, or failed.
SOON = 3
#: Of JSON-RPC: an internal error, and a message that is no request.
INTERNAL_ERROR, INVALID_REQUEST = -32603, -32600
#: Nobody reads any more: here, or at the other side.
UNREAD = (SessionError, anyio.BrokenResourceError, anyio.ClosedResourceError)
MESSAGES: TypeAdapter[Any] = TypeAdapter(JSONRPCMessage)
# Version 1 of the SDK sets members to None that have to stay away, version 2 those that have to be null.
UNSAID = {"exclude_none": True} if isinstance(JSONRPCMessage, type) else {"exclude_unset": True}


@asynccontextmanager
async def webrtc_client_transport(
    signaling: BaseSignaling | RelaySignaling,
    *,
    secret: str | None = None,
    framed: bool = True,
    initiator: bool | None = None,
) -> AsyncGenerator[Streams, None]:
    """Connects an MCP client to the other peer of `signaling`; yields the streams for a `ClientSession` once it is connected.

    `secret`: the end-to-end secret that both sides have, as `mcp-rendezvous secret` makes it. `framed`: with a peer that speaks it
    messages have any size, nothing is lost on close, and with RelaySignaling the session survives its connection; others get plain
    mode. `initiator`: this side makes the offer; with a relay clients do, elsewhere servers, as in mcp-webrtc.

    Raises SignalingError, or SessionError such as `secret_mismatch`.
    """
    async with _transport("client", signaling, secret, framed, initiator) as streams:
        yield streams


@asynccontextmanager
async def webrtc_server_transport(
    signaling: BaseSignaling | RelaySignaling,
    *,
    secret: str | None = None,
    framed: bool = True,
    initiator: bool | None = None,
) -> AsyncGenerator[Streams, None]:
    """The same for an MCP server and one client, for which it waits: the streams are those of `Server.run()`."""
    async with _transport("server", signaling, secret, framed, initiator) as streams:
        yield streams


@asynccontextmanager
async def _transport(
    role: Role, signaling: BaseSignaling | RelaySignaling, secret: str | None, framed: bool, initiator: bool | None
) -> AsyncGenerator[Streams, None]:
    relayed = isinstance(signaling, RelaySignaling)
    offers = initiator if initiator is not None else (role == "client") == relayed
    key = key_of_secret(secret) if secret is not None else None
    if key is not None and not framed:
        raise ValueError("A secret needs framed mode.")
    end = _End(signaling, offers, key, framed)
    reading, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, writing = anyio.create_memory_object_stream[SessionMessage](0)
    patience = SOON
    async with reading, read, write, writing:
        try:
            await end.connect()
            end.spawn(end.deliver(reading))
            end.spawn(end.keep())
            forwarding = end.spawn(end.forward(writing, reading))
            yield read, write
            # Behind the caller's last message, which forward() may still be at.
            write.close()
            await asyncio.wait([forwarding])
            patience = CLOSE_LIMIT
        finally:
            with anyio.CancelScope(shield=True):
                await end.close(patience)


class _End:
    """One side of one session, from its first offer to its end."""

    def __init__(self, signaling: BaseSignaling | RelaySignaling, offers: bool, key: bytes | None, framed: bool) -> None:
        self._signaling, self._offers, self._key, self._framed = signaling, offers, key, framed
        self._relay = signaling if isinstance(signaling, RelaySignaling) else None
        self._session: FramedSession | PlainSession | None = None
        self._pending: Connection | None = None  # its negotiation or handshake is under way
        self._established: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that ends with close()."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def connect(self) -> None:
        """Resolves when the session stands."""
        if self._relay is not None:
            self._relay.renegotiates = self._framed
        await self._signaling.connect()
        if self._offers:
            await self._offer()
        self.spawn(self._hear())
        await self._established

    async def close(self, within: float) -> None:
        """Ends the session in order, or whatever there is of it. `within`: seconds for what is under way to arrive."""
        if self._session is not None:
            await self._session.finish(within)
        pending, tasks = self._pending, list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if pending is not None:
            await pending.close()
        # Before the connection is closed, which may take a second: the next client need not wait for that.
        await self._signaling.close()
        if self._session is not None:
            await self._session.linger()
        if self._established.done() and not self._established.cancelled():
            self._established.exception()  # connect() raised it, unless it was cancelled before

    # The negotiation

    def _connection(self, offerer: bool) -> Connection:
        if self._pending is not None:
            self._close_soon(self._pending)
        self._pending = Connection(offerer, self._relay.ice_servers if self._relay is not None else [])
        return self._pending

    def _close_soon(self, connection: Connection) -> None:
        self.spawn(connection.close())

    async def _offer(self) -> None:
        framing = FRAMING if self._framed else None
        if framing is not None and self._session is not None:
            framing += f" resume={self._session.name}"
        connection = self._connection(True)
        await self._signaling.send(await connection.offer(framing))
        self.spawn(self._adopt(connection))

    async def _hear(self) -> None:
        """What comes over the signaling, until that ends."""
        try:
            while True:
                item = await self._signaling.receive()
                if item is BYE or item is None:
                    break
                if isinstance(item, RTCSessionDescription):
                    await self._described(item)
                elif isinstance(item, RTCIceCandidate):
                    await self._candidate(item)
                elif isinstance(item, Goodbye):
                    self._refused(item)
        except Exception as error:
            logger.debug("The signaling ended: %s", error)
            self._fail(error)
        if self._relay is not None and self._relay.removed and self._session is not None:
            self._session.end(SessionError("peer_removed", "The operator of the relay removed a peer of this session."))
        if self._pending is None or self._pending.remote is None:
            self._fail(SessionError("peer_gone", "The other side ended the signaling before there was a connection."))

    async def _candidate(self, item: RTCIceCandidate) -> None:
        try:
            if self._pending is not None:
                await self._pending.add(item)
        except Exception as error:  # one that aiortc cannot use is no reason to give up the others
            logger.debug("A candidate was left out: %s", error)

    def _fail(self, error: Exception) -> None:
        if not self._established.done():
            self._established.set_exception(error)

    async def _described(self, item: RTCSessionDescription) -> None:
        try:
            description = parse_description(item.sdp)
            if item.type == "answer":
                if self._pending is not None and self._pending.remote is None:
                    await self._pending.accept(description)
                return
            standing = self._session.name if self._session is not None else None
            if description.resume != standing and (description.resume or isinstance(self._session, FramedSession)):
                return await self._goodbye("no_session", "This side does not have the session, or no longer has it.")
            connection = self._connection(False)
            answer = await connection.answer(description, self._framed)
            # Before the answer goes out: the connection may be there before send() returns.
            self.spawn(self._adopt(connection))
            await self._signaling.send(answer)
        except SignalingError:
            raise
        except Exception as error:  # DescriptionError, and whatever aiortc makes of a description that it cannot use
            await self._goodbye("failed", str(error) if isinstance(error, DescriptionError) else "The description cannot be used.")
            self._fail(SessionError("bad_signal", str(error)))

    async def _goodbye(self, code: str, message: str) -> None:
        if self._relay is not None:
            await self._relay.goodbye(code, message)

    def _refused(self, goodbye: Goodbye) -> None:
        if self._session is None:
            return self._fail(SignalingError(f"peer_{goodbye.code}", f"The other peer ended the negotiation: {goodbye.message}", False))
        if goodbye.code == "no_session":
            self._session.end(SessionError("session_lost", goodbye.message))

    async def _adopt(self, connection: Connection) -> None:
        """A connection that is being made, up to the session that it carries."""
        try:
            try:
                await _opened(connection)
                if self._session is None:
                    self._session = self._begin(connection)
            except Exception:
                await connection.close()
                raise
            await self._session.attach(connection)
            if self._relay is not None:
                self._relay.session = self._session.name
            if not self._established.done():
                self._established.set_result(None)
        except Exception as error:
            if self._pending is connection:
                self._fail(error)
        finally:
            if self._pending is connection:
                self._pending = None

    def _begin(self, connection: Connection) -> FramedSession | PlainSession:
        if not connection.framed:
            if self._key is not None:
                raise SessionError("secret_mismatch", "The other side cannot prove an end-to-end secret: it speaks plain mode.")
            return PlainSession()
        context = fields("signaling", "", "server", "client")
        if self._relay is not None:
            room, issuer, other_issuer, *own, other_role, other = self._relay.introduction
            both = [*own, other_role, other] if connection.offerer else [other_role, other, *own]
            context = fields("relay", room, issuer, other_issuer, *both)
        return FramedSession(self._key, context, resumable=self._relay is not None)

    async def keep(self) -> None:
        """Replaces a connection that was lost: this side's offer does it if it made the first one, else the other side's."""
        session = self._session
        if not isinstance(session, FramedSession):
            return
        while not session.over.is_set():
            await session.lost.wait()
            try:
                async with asyncio.timeout(KEEP):
                    while session.lost.is_set():
                        if self._offers:
                            await self._offer()
                        try:
                            await asyncio.wait_for(session.found.wait(), ATTEMPT if self._offers else KEEP)
                        except TimeoutError:
                            continue
            except (TimeoutError, SignalingError):
                session.end(SessionError("session_lost", "The connection was lost, and no other one came in time."))

    # The streams

    async def deliver(self, reading: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        """What the other side sends, to the reader."""
        session = self._session
        assert session is not None
        async with reading:
            try:
                while (one := await session.messages.get()) is not None:
                    number, text = one
                    try:
                        await reading.send(SessionMessage(MESSAGES.validate_json(text)))
                    except ValueError as error:
                        await self._reject(text)
                        await reading.send(error)
                    session.passed(number)
            except UNREAD:
                return
            if self._relay is not None:
                self._relay.ended = True
            if session.error is not None:
                logger.warning("The session has ended: %s", session.error)

    async def _reject(self, text: bytes) -> None:
        """Answers a request that is not JSON-RPC, so that nobody waits for its result."""
        try:
            request = json.loads(text)
        except (ValueError, RecursionError):
            return
        if isinstance(request, dict) and "method" in request and type(request.get("id")) in (str, int) and self._session is not None:
            await self._session.send(_error(request["id"], INVALID_REQUEST, "This is not a JSON-RPC request."))

    async def forward(
        self, writing: MemoryObjectReceiveStream[SessionMessage], reading: MemoryObjectSendStream[SessionMessage | Exception]
    ) -> None:
        """What the writer sends, to the other side."""
        session = self._session
        assert session is not None
        async with writing:
            async for one in writing:
                text = MESSAGES.dump_json(one.message, by_alias=True, **UNSAID)  # type: ignore[arg-type]
                try:
                    if len(text) > session.max_message:
                        text = await self._too_large(text, session.max_message, reading)
                    if text:
                        await session.send(text)
                except UNREAD:
                    return  # deliver() ends the reader's stream

    async def _too_large(self, text: bytes, limit: int, reading: MemoryObjectSendStream[SessionMessage | Exception]) -> bytes:
        """What takes the place of a message that the other side does not take: of a response an error, which goes out; of a request
        one for whoever waits here.
        """
        message, size = json.loads(text), len(text)
        problem = f"The message has {size} bytes, and the other side takes {limit}."
        logger.warning(problem)
        if "id" in message and "method" not in message:
            return _error(message["id"], INTERNAL_ERROR, problem)
        if "id" in message:
            await reading.send(SessionMessage(MESSAGES.validate_json(_error(message["id"], INTERNAL_ERROR, problem))))
        return b""


def _error(id: str | int, code: int, message: str) -> bytes:
    error = JSONRPCError(jsonrpc="2.0", id=id, error=ErrorData(code=code, message=message))
    return error.model_dump_json(exclude_none=True).encode()


async def _opened(connection: Connection) -> None:
    waits = [asyncio.create_task(event.wait()) for event in (connection.opened, connection.closed)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED, timeout=None if connection.remote is None else OPEN_WITHIN)
    finally:
        for one in waits:
            one.cancel()
    if not connection.opened.is_set():
        message = "No connection came about. Where both networks are closed, the relay has to name a TURN server."
        raise SessionError("ice_failed", message)
