"""A plain Messages loop; a tool that fails says so with is_error."""

import anthropic
import trimtab; trimtab.instrument()

client = anthropic.Anthropic(max_retries=0, timeout=25)
TOOLS = [
    {
        "name": "lookup_order",
        "description": "Find an order by its number.",
        "input_schema": {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
    },
    {
        "name": "shipping_quote",
        "description": "Price of a parcel to a city.",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
]


def lookup_order(order_id):
    return f"order {order_id}: one kettle, 1.4 kg, now in Oslo"


def shipping_quote(city):
    raise LookupError(f"no carrier serves {city}")


def use(block):
    """Result block of one tool use."""
    try:
        content, failed = {"lookup_order": lookup_order, "shipping_quote": shipping_quote}[block.name](**block.input), False
    except LookupError as error:
        content, failed = f"LookupError: {error}", True
    print(block.name, block.input, "->", content)
    return {"type": "tool_result", "tool_use_id": block.id, "content": content, "is_error": failed}


messages = [{"role": "user", "content": "Where is A-17, and what would Rome cost?"}]
while True:
    reply = client.messages.create(
        model="claude-haiku-4-5", max_tokens=300, system="You are a help desk.", tools=TOOLS, messages=messages,
        stop_sequences=["END"], extra_body={"temperature": 0.7},
    )
    messages.append({"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in reply.content]})
    uses = [block for block in reply.content if block.type == "tool_use"]
    if not uses:
        break
    messages.append({"role": "user", "content": [use(block) for block in uses]})
print(reply.content[0].text)
