"""The anthropic SDK with its tool runner."""

import anthropic
from anthropic import beta_tool

import trimtab

trimtab.instrument(service="anthropic-desk")


@beta_tool
def lookup_order(order_id: str) -> str:
    """Where an order is.

    Args:
        order_id: Its number.
    """
    return f"order {order_id}: one kettle, now in Oslo"


desk = anthropic.Anthropic().beta.messages.tool_runner(
    model="claude-haiku-4-5",
    max_tokens=300,
    max_iterations=5,
    tools=[lookup_order],
    messages=[{"role": "user", "content": "Where is order A-17?"}],
)
answer = desk.until_done()  # every call is pinned here
print(answer.content[-1].text)
