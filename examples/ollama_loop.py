"""A local model through Ollama's client, with a loop by hand; the server's address is the one in OLLAMA_HOST."""

import ollama

import trimtab

trimtab.instrument(service="ollama-desk")


@trimtab.tool
def lookup_order(order_id: str) -> str:
    """Where an order is.

    Args:
        order_id: Its number.
    """
    return f"order {order_id}: one kettle, now in Oslo"


messages = [{"role": "user", "content": "Where is order A-17?"}]
while True:
    message = ollama.chat("qwen3", messages, tools=[lookup_order]).message  # every call is pinned here
    if not message.tool_calls:
        break
    messages.append(message)
    for call in message.tool_calls:
        result = lookup_order(**call.function.arguments)
        messages.append({"role": "tool", "tool_name": call.function.name, "content": result})
print(message.content)
