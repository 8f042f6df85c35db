"""A session in plain mode (PROTOCOL.md, 7), as mcp-webrtc has it: one message a text message, and it ends with its connection."""

from __future__ import annotations

import asyncio

from .connection import Connection
from .proof import SessionError

#: Seconds that the other side has to see that the channel was closed.
CLOSE_WITHIN = 3


class PlainSession:
    """It has the members of FramedSession that a transport uses."""

    name: str | None = None
    error: SessionError | None = None

    def __init__(self) -> None:
        self.messages: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        self.max_message = 0
        self._connection: Connection | None = None
        self._reading: asyncio.Task[None] | None = None

    async def attach(self, connection: Connection) -> None:
        """Takes an open connection, its only one."""
        if self._connection is not None:
            return await connection.close()
        self._connection, self.max_message = connection, connection.max_message
        self._reading = asyncio.get_running_loop().create_task(self._read(connection))

    async def send(self, text: bytes) -> None:
        """Sends a message, when those before it have left. Raises SessionError once the session is over."""
        connection = self._connection
        while connection is not None and connection.full and not connection.closed.is_set():
            connection.writable.clear()
            await connection.writable.wait()
        if connection is None or connection.closed.is_set():
            raise SessionError("closed", "The session is over.")
        connection.send(text.decode())

    def passed(self, number: int) -> None:
        """Nothing: who sends hears of nothing."""

    async def finish(self, within: float) -> None:
        """Closes the channel behind what was sent."""
        if self._connection is not None:
            await self._connection.finish(min(within, CLOSE_WITHIN))

    async def linger(self) -> None:
        """Until the connection is closed."""
        if self._reading is not None:
            await self._reading

    def end(self, error: SessionError | None = None) -> None:
        """Ends the session at once."""
        self.error = error
        if self._connection is not None:
            self._closing = asyncio.get_running_loop().create_task(self._connection.close())

    async def _read(self, connection: Connection) -> None:
        while (message := await connection.inbox.get()) is not None:
            self.messages.put_nowait((0, message.encode() if isinstance(message, str) else message))
        self.messages.put_nowait(None)
