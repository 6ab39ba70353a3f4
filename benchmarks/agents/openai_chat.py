"""A help desk on chat completions, with the loop written by hand."""

import json

from openai import OpenAI

client = OpenAI()

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "lookup_order",
            "description": "Find an order.",
            "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
        },
    },
    {
        "type": "function",
        "function": {
            "name": "shipping_quote",
            "description": "Price of a parcel.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    },
]


def lookup_order(order_id):
    print("ran lookup_order", order_id)
    return {"order_id": order_id, "city": "Oslo"}


def shipping_quote(city):
    print("ran shipping_quote", city)
    return {"city": city, "euros": 12.0}


def answer(question):
    messages = [{"role": "system", "content": "You help customers."}, {"role": "user", "content": question}]
    while True:
        response = client.chat.completions.create(model="gpt-5-mini", messages=messages, tools=TOOLS)  # call
        message = response.choices[0].message
        if not message.tool_calls:
            return message.content
        messages.append(message)
        for call in message.tool_calls:
            result = globals()[call.function.name](**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})


question = "Where is A-17, and what would Rome cost?"
print(answer(question))
review = client.chat.completions.create(  # call
    model="gpt-5-nano", messages=[{"role": "user", "content": "Check: " + question}]
)
print(review.choices[0].message.content)
