"""The MCP server that mcp_tools.py starts: one tool, over pipes."""

from mcp.server.mcpserver import MCPServer

server = MCPServer("shop", log_level="ERROR")


@server.tool()
def lookup_order(order_id: str) -> str:
    """Where an order is."""
    return f"order {order_id}: one kettle, now in Oslo"


if __name__ == "__main__":
    server.run()
