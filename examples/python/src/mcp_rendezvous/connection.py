"""One WebRTC connection with the data channel `mcp`, from its offer to its end."""

from __future__ import annotations

import asyncio
from typing import Any

from aiortc import RTCConfiguration, RTCDataChannel, RTCIceCandidate, RTCIceServer, RTCPeerConnection, RTCSessionDescription

from .description import Description, parse_description
from .relay_signaling import as_it_is

LABEL = "mcp"
#: This side's share of framed mode: what it writes into descriptions (PROTOCOL.md, 7).
FRAMING = "a=mcp-framed:1"
#: The largest frame of framed mode.
MAX_FRAME = 262_144
#: Bytes that wait in a channel before the next frame does not go into it, so that a PONG is not behind megabytes.
ENOUGH = 524_288


class Connection:
    """`offerer`: this side makes the offer. Close it in any case."""

    def __init__(self, offerer: bool, ice_servers: list[RTCIceServer]) -> None:
        self.offerer = offerer
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()
        #: What the other side sent; None behind the last one.
        self.inbox: asyncio.Queue[bytes | str | None] = asyncio.Queue()
        #: Set when the channel takes more again.
        self.writable = asyncio.Event()
        #: Both sides have agreed on framed mode.
        self.framed = False
        self.local: Description | None = None
        self.remote: Description | None = None
        self._channel: RTCDataChannel | None = None
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=ice_servers))
        self._pc.on("connectionstatechange", self._changed)
        self._pc.on("datachannel", self._arrived)

    async def offer(self, framing: str | None) -> RTCSessionDescription:
        """This side's offer, with that line about framed mode or none."""
        self._use(self._pc.createDataChannel(LABEL))
        await self._pc.setLocalDescription(await self._pc.createOffer())
        return self._described(framing)

    async def answer(self, offer: Description, framed: bool) -> RTCSessionDescription:
        """This side's answer. `framed`: it speaks framed mode, if the offer does."""
        self.remote = offer
        self.framed = framed and offer.framed
        await self._pc.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        await self._pc.setLocalDescription(await self._pc.createAnswer())
        return self._described(FRAMING if self.framed else None)

    async def accept(self, answer: Description) -> None:
        """The answer to this side's offer."""
        self.remote = answer
        self.framed = answer.framed and self.local is not None and self.local.framed
        await self._pc.setRemoteDescription(RTCSessionDescription(answer.sdp, "answer"))

    async def add(self, candidate: RTCIceCandidate) -> None:
        """A candidate of the other side."""
        await self._pc.addIceCandidate(candidate)

    @property
    def max_message(self) -> int:
        """The largest message in bytes that the other side takes."""
        size = self.remote.max_message_size if self.remote is not None else 0
        return size if size > 0 else 2**53

    @property
    def full(self) -> bool:
        """What is sent now would wait: `writable` says when it would not."""
        return self._channel is None or self._channel.bufferedAmount > ENOUGH

    def send(self, message: bytes | str) -> None:
        """Sends a message. One that finds no open channel is dropped: `closed` says it."""
        if self._channel is not None and self._channel.readyState == "open":
            self._channel.send(message)

    async def close(self, after: float = 0) -> None:
        """Ends the connection, that many seconds later if the other side has not done so by then. Idempotent."""
        if after > 0:
            try:
                await asyncio.wait_for(self.closed.wait(), after)
            except asyncio.TimeoutError:
                pass
        self._over()
        await self._pc.close()

    async def finish(self, within: float) -> None:
        """Closes the channel behind what was sent, then the connection."""
        if self._channel is not None:
            self._channel.close()
            await self.close(within)
        else:
            await self.close()

    def _described(self, framing: str | None) -> RTCSessionDescription:
        description = self._pc.localDescription
        sdp = as_it_is(description.sdp).rstrip() + "\r\n" + (f"{framing}\r\n" if framing is not None else "")
        self.local = parse_description(sdp)
        return RTCSessionDescription(self.local.sdp, description.type)

    def _arrived(self, channel: RTCDataChannel) -> None:
        reliable = channel.ordered and channel.maxRetransmits is None and channel.maxPacketLifeTime is None
        if self._channel is not None or channel.label != LABEL or not reliable:
            channel.close()  # PROTOCOL.md, 7: one channel, and that one
            return
        self._use(channel)
        self.opened.set()

    def _use(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        channel.bufferedAmountLowThreshold = ENOUGH // 2
        # A message may come before `open` (RFC 8832, 6), so that the queue is there from the start.
        channel.on("message", self.inbox.put_nowait)
        channel.on("open", self.opened.set)
        channel.on("close", self._over)
        channel.on("bufferedamountlow", self.writable.set)

    def _changed(self, *_: Any) -> None:
        if self._pc.connectionState in ("failed", "closed"):
            self._over()

    def _over(self) -> None:
        if not self.closed.is_set():
            self.closed.set()
            self.writable.set()
            self.inbox.put_nowait(None)
