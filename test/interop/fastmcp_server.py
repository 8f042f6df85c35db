"""A small FastMCP server on its standard input and output. For the tests."""

from mcp.server.fastmcp import FastMCP

server = FastMCP("fastmcp-server")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
def large(bytes: int, padding: str = "") -> str:
    """A text of that size."""
    return "x" * bytes


@server.tool()
def goodbye() -> str:
    """Says goodbye."""
    return "goodbye"


server.run()
