"""The Responses API with the conversation kept by the provider: whole answers, then the same with the stream helper."""

import json

from openai import OpenAI

client = OpenAI()

TOOLS = [
    {
        "type": "function",
        "name": "lookup_order",
        "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
    },
    {
        "type": "function",
        "name": "shipping_quote",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
]


def lookup_order(order_id):
    print("ran lookup_order")
    return f"{order_id}: one kettle, in Oslo"


def shipping_quote(city):
    print("ran shipping_quote", city)
    return f"{city}: 12 euros"


def whole(items, previous):
    return client.responses.create(model="gpt-5-mini", input=items, previous_response_id=previous, tools=TOOLS)  # call


def streamed(items, previous):
    with client.responses.stream(  # call
        model="gpt-5", input=items, previous_response_id=previous, tools=TOOLS
    ) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                print(event.delta, end="|")
        return stream.get_final_response()


def converse(respond, question):
    items, previous = [{"role": "user", "content": question}], None
    while True:
        response = respond(items, previous)
        items, previous = [], response.id
        for item in response.output:
            if item.type == "function_call":
                result = globals()[item.name](**json.loads(item.arguments))
                items.append({"type": "function_call_output", "call_id": item.call_id, "output": result})
        if not items:
            return response.output_text


for way in (whole, streamed):
    print(converse(way, "Where is A-17, and what would Rome cost?"))
