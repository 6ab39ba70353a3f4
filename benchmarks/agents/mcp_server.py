"""The tools of the MCP agents, as a server: over pipes, or over HTTP on a port of the loopback."""

import sys

from mcp.server.mcpserver import MCPServer

server = MCPServer("shop", log_level="ERROR")


@server.tool()
def lookup_order(order_id: str) -> str:
    """Find an order."""
    return f"order {order_id}: one kettle, now in Oslo"


@server.tool()
def shipping_quote(city: str) -> str:
    """Price of a parcel."""
    if city == "Oslo":
        raise ValueError("no parcels to Oslo today")
    return f"{city}: 12 euros"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run()
