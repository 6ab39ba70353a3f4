"""Anthropic messages with a loop by hand: whole answers, then through the streaming helper."""

import anthropic

client = anthropic.Anthropic()

TOOLS = [
    {
        "name": "lookup_order",
        "description": "Find an order.",
        "input_schema": {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
    },
    {
        "name": "shipping_quote",
        "description": "Price of a parcel.",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
]


def lookup_order(order_id):
    print("ran lookup_order")
    return f"{order_id}: one kettle, in Oslo"


def shipping_quote(city):
    print("ran shipping_quote", city)
    if city == "Oslo":
        raise ValueError("no parcels to Oslo today")
    return f"{city}: 12 euros"


def whole(messages):
    return client.messages.create(model="claude-haiku-4-5", max_tokens=300, tools=TOOLS, messages=messages)  # call


def streamed(messages):
    with client.messages.stream(model="claude-sonnet-4-5", max_tokens=300, tools=TOOLS, messages=messages) as s:  # call
        for text in s.text_stream:
            print(text, end="|")
        return s.get_final_message()


def result_of(block):
    try:
        content, failed = globals()[block.name](**block.input), False
    except ValueError as error:
        content, failed = str(error), True
    return {"type": "tool_result", "tool_use_id": block.id, "content": content, "is_error": failed}


def converse(respond, question):
    messages = [{"role": "user", "content": question}]
    while True:
        message = respond(messages)
        messages.append({"role": "assistant", "content": message.content})
        if message.stop_reason != "tool_use":
            return message.content[0].text
        results = [result_of(block) for block in message.content if block.type == "tool_use"]
        messages.append({"role": "user", "content": results})


for way in (whole, streamed):
    print(converse(way, "Where is A-17, and what would Rome cost?"))
