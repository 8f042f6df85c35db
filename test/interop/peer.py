"""An MCP peer on aiortc as mcp-webrtc's are: label `mcp`, one JSON-RPC message a text message, no trickle. For the tests.

Usage: peer.py server|client --tcp PORT | --relay URL [--offer] [--result BYTES] [--config]   (its token in TOKEN, or several for one after the other)

Prints one JSON object a line: what happened. A client makes the whole exchange and then closes; a server serves until its
channel closes, or closes it itself when the tool `goodbye` was called.
"""

import argparse
import asyncio
import json
import os
import sys
import time

from aiortc import RTCConfiguration, RTCIceCandidate, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.signaling import BYE, TcpSocketSignaling

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "examples", "python", "src", "mcp_rendezvous"))

LARGE = 200_000


def say(**what):
    print(json.dumps(what), flush=True)


def answer(request):
    """What a small MCP server answers to a request."""
    method, params = request["method"], request.get("params", {})
    if method == "initialize":
        info = {"name": "aiortc-server", "version": "1.0.0"}
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "ping":
        return {}
    if method == "tools/list":
        return {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in ("add", "large", "goodbye")]}
    if method == "tools/call" and params["name"] == "add":
        return {"content": [{"type": "text", "text": str(params["arguments"]["a"] + params["arguments"]["b"])}]}
    if method == "tools/call" and params["name"] == "large":
        return {"content": [{"type": "text", "text": "x" * params["arguments"]["bytes"]}]}
    if method == "tools/call" and params["name"] == "goodbye":
        return {"content": []}
    return None


class Peer:
    def __init__(self, channel):
        self.channel = channel
        self.pending = {}
        self.goodbye = asyncio.Event()
        channel.on("message", self.message)

    def message(self, text):
        message = json.loads(text)
        if "method" not in message:
            self.pending.pop(message["id"]).set_result(message)
        elif "id" in message:
            result = answer(message)
            reply = {"result": result} if result is not None else {"error": {"code": -32601, "message": "unknown"}}
            self.channel.send(json.dumps({"jsonrpc": "2.0", "id": message["id"], **reply}))
            if message.get("params", {}).get("name") == "goodbye":
                self.goodbye.set()

    async def request(self, method, **params):
        number = len(self.pending) + int(time.monotonic() * 1e6)
        self.pending[number] = asyncio.get_running_loop().create_future()
        self.channel.send(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}))
        reply = await asyncio.wait_for(self.pending[number], 30)
        if "error" in reply:
            raise RuntimeError(reply["error"]["message"])
        return reply["result"]

    async def converse(self, result_bytes):
        """initialize, list, call, a large result, and as large an argument."""
        info = {"name": "aiortc-client", "version": "1.0.0"}
        first = await self.request("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=info)
        self.channel.send(json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        tools = (await self.request("tools/list"))["tools"]
        added = await self.request("tools/call", name="add", arguments={"a": 2, "b": 40})
        large = await self.request("tools/call", name="large", arguments={"bytes": result_bytes, "padding": "y" * LARGE})
        say(
            event="exchange",
            server=first["serverInfo"]["name"],
            tools=[tool["name"] for tool in tools],
            sum=added["content"][0]["text"],
            large=len(large["content"][0]["text"]),
        )


async def obey(signaling, pc):
    """What comes over the signaling, until the other side is done."""
    while True:
        item = await signaling.receive()
        if isinstance(item, RTCSessionDescription):
            await pc.setRemoteDescription(item)
            if item.type == "offer":
                await pc.setLocalDescription(await pc.createAnswer())
                await signaling.send(pc.localDescription)
        elif isinstance(item, RTCIceCandidate):
            await pc.addIceCandidate(item)
        elif item is BYE or item is None:
            return


async def session(args, signaling, pc):
    started = time.monotonic()
    opened = asyncio.get_running_loop().create_future()
    closed = asyncio.Event()

    def adopt(channel):
        channel.on("close", closed.set)
        opened.set_result(Peer(channel))

    if args.offer:
        channel = pc.createDataChannel("mcp")
        # Before it is open, too: Firefox's first message comes ahead of the acknowledgement that
        # opens it here (RFC 8832, 6).
        early = []
        channel.on("message", early.append)

        def ready():
            channel.remove_listener("message", early.append)
            adopt(channel)
            for text in early:
                opened.result().message(text)

        channel.on("open", ready)
        await pc.setLocalDescription(await pc.createOffer())
        await signaling.send(pc.localDescription)
    else:
        pc.on("datachannel", adopt)

    obeying = asyncio.create_task(obey(signaling, pc))
    await asyncio.wait([obeying, opened], return_when=asyncio.FIRST_COMPLETED)
    if obeying.done():
        obeying.result()
    peer = await asyncio.wait_for(opened, 30)
    say(event="open", ms=round((time.monotonic() - started) * 1000))
    if args.role == "client":
        await peer.converse(args.result)
        peer.channel.close()
    else:
        waits = [asyncio.create_task(event.wait()) for event in (closed, peer.goodbye)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if not closed.is_set():
            peer.channel.close()
    await asyncio.wait_for(closed.wait(), 20)
    say(event="closed")
    obeying.cancel()


def tokens():
    """The one that there is, or a function that fetches the next one."""
    given = os.environ["TOKEN"].split()

    async def fetch():
        if not given:
            raise RuntimeError("The backend has no token.")
        return given.pop(0)

    return fetch if len(given) > 1 else given[0]


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["server", "client"])
    parser.add_argument("--tcp", type=int)
    parser.add_argument("--relay")
    parser.add_argument("--timeout", type=float, default=30)
    parser.add_argument("--result", type=int, default=LARGE, help="bytes of the large result")
    parser.add_argument("--offer", action="store_true")
    parser.add_argument("--config", action="store_true", help="use the relay's STUN and TURN servers")
    args = parser.parse_args()
    if args.tcp is not None:
        signaling = TcpSocketSignaling("127.0.0.1", args.tcp)
    else:
        from relay_signaling import RelaySignaling

        signaling = RelaySignaling(args.relay, tokens(), args.timeout)
    await signaling.connect()
    say(event="joined")
    pc = RTCPeerConnection(RTCConfiguration(signaling.ice_servers if args.config else []))
    try:
        await session(args, signaling, pc)
    finally:
        await pc.close()
        await signaling.close()


try:
    asyncio.run(main())
except Exception as error:
    say(event="failed", error=type(error).__name__, code=getattr(error, "code", None), message=str(error))
    sys.exit(1)
