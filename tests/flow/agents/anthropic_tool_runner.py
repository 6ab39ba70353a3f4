"""The Anthropic SDK's own loop: tool_runner calls decorated functions until there is an answer."""

import anthropic
from anthropic import beta_tool
import trimtab; trimtab.instrument()


@beta_tool
def lookup_order(order_id: str) -> str:
    """Find an order.

    Args:
        order_id: Its number.
    """
    return f"order {order_id}: one kettle, now in Oslo"


@beta_tool
def shipping_quote(city: str) -> str:
    """Price of a parcel.

    Args:
        city: Where it goes.
    """
    return f"{city}: 12 euros"


def main():
    client = anthropic.Anthropic(timeout=30.0)
    runner = client.beta.messages.tool_runner(
        model="claude-haiku-4-5",
        max_tokens=300,
        tools=[lookup_order, shipping_quote],
        messages=[{"role": "user", "content": "Where is A-17, and what would Rome cost?"}],
    )
    for message in runner:
        print(message.stop_reason, [block.type for block in message.content])
    print(message.content[-1].text)


main()
