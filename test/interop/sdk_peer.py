"""An MCP peer on the MCP SDK for Python, over mcp-webrtc or over examples/python. For the tests.

Usage: sdk_peer.py server|client --package mcp_webrtc|mcp_rendezvous --tcp PORT | --relay URL [--initiator yes|no] [--plain]
(its token in TOKEN, an end-to-end secret in SECRET, or an invitation in INVITATION instead of both and of --relay)

Prints one JSON object a line: what happened. A server serves until its session ends. A client does what it is told in lines of JSON
on stdin: {"do": "exchange", "bytes": …}, {"do": "close"}.
"""

import argparse
import asyncio
import importlib
import json
import os
import sys
from contextlib import asynccontextmanager

from aiortc.contrib.signaling import TcpSocketSignaling
from mcp import ClientSession
from mcp.server.lowlevel import Server
from mcp.types import TextContent, Tool

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "examples", "python", "src"))
from mcp_rendezvous import RelaySignaling, read_invitation  # noqa: E402


def say(**what):
    print(json.dumps(what), flush=True)


def transport(args):
    """The transport of that package, as its users call it."""
    secret = os.environ.get("SECRET")
    if args.tcp is not None:
        signaling = TcpSocketSignaling("127.0.0.1", args.tcp)
    elif "INVITATION" in os.environ:
        invitation = read_invitation(os.environ["INVITATION"])
        signaling, secret = RelaySignaling(invitation.relay, invitation.token), invitation.secret
    else:
        signaling = RelaySignaling(args.relay, os.environ["TOKEN"])
    package = importlib.import_module(args.package)
    make = getattr(package, f"webrtc_{args.role}_transport")
    initiator = {} if args.initiator is None else {"initiator": args.initiator == "yes"}
    if args.package == "mcp_webrtc":
        parameters = getattr(package, "WebRTCServerParameters" if args.role == "server" else "WebRTCClientParameters")
        return make(signaling, parameters(**initiator))
    return make(signaling, secret=secret, framed=not args.plain, **initiator)


def server():
    app = Server("python-server")

    @app.list_tools()
    async def list_tools():
        return [Tool(name=name, inputSchema={"type": "object"}) for name in ("add", "large", "goodbye")]

    @app.call_tool()
    async def call_tool(name, arguments):
        if name == "add":
            return [TextContent(type="text", text=str(arguments["a"] + arguments["b"]))]
        return [TextContent(type="text", text="x" * arguments.get("bytes", 0))]

    return app


async def serve(args):
    app = server()
    async with transport(args) as (read, write):
        say(event="open")
        await app.run(read, write, app.create_initialization_options())
    say(event="closed")


async def exchange(session, size):
    tools = await session.list_tools()
    added = await session.call_tool("add", {"a": 2, "b": 40})
    large = await session.call_tool("large", {"bytes": size, "padding": "y" * size})
    say(
        event="exchange",
        tools=[tool.name for tool in tools.tools],
        sum=added.content[0].text,
        large=len(large.content[0].text),
    )


@asynccontextmanager
async def lines():
    """What comes on stdin."""
    reader = asyncio.StreamReader()
    pipe, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        yield reader
    finally:
        pipe.close()


async def call(args):
    async with lines() as commands, transport(args) as (read, write), ClientSession(read, write) as session:
        begun = await session.initialize()
        say(event="open", server=begun.serverInfo.name)
        async for line in commands:
            command = json.loads(line)
            if command["do"] == "close":
                break
            await exchange(session, command["bytes"])
    say(event="closed")


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["server", "client"])
    parser.add_argument("--package", choices=["mcp_webrtc", "mcp_rendezvous"], default="mcp_rendezvous")
    parser.add_argument("--tcp", type=int)
    parser.add_argument("--relay")
    parser.add_argument("--initiator", choices=["yes", "no"])
    parser.add_argument("--plain", action="store_true")
    args = parser.parse_args()
    await (serve(args) if args.role == "server" else call(args))


try:
    asyncio.run(main())
except BaseException as error:
    # Task groups of the SDK wrap what went wrong.
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    say(event="failed", error=type(error).__name__, code=getattr(error, "code", None), message=str(error))
    sys.exit(1)
