"""Raw responses: headers first, then the parsed body; and a stream that the caller reads by himself."""

import json

from openai import OpenAI

client = OpenAI()

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("lookup_order", "shipping_quote")
]


def lookup_order(order_id):
    print("ran lookup_order")
    return f"{order_id} is in Oslo"


def shipping_quote(city):
    print("ran shipping_quote")
    return f"{city}: 12 euros"


def ask(messages):
    raw = client.chat.completions.with_raw_response.create(model="gpt-5-mini", messages=messages, tools=TOOLS)  # call
    print("status", raw.status_code, "json" in raw.headers["content-type"])
    return raw.parse().choices[0].message


def summarise(text):
    with client.chat.completions.with_streaming_response.create(  # call
        model="gpt-5-nano",
        messages=[{"role": "user", "content": "Summarise: " + text}],
        stream=True,
        stream_options={"include_usage": True},
    ) as raw:
        lines = [line for line in raw.iter_lines() if line.startswith("data: {")]
    pieces = [json.loads(line[6:]) for line in lines]
    return "".join(p["choices"][0]["delta"].get("content") or "" for p in pieces if p["choices"])


messages = [{"role": "user", "content": "Where is A-17, and what would Rome cost?"}]
while (message := ask(messages)).tool_calls:
    messages.append(message.to_dict())
    for call in message.tool_calls:
        result = globals()[call.function.name](**json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
print(message.content)
print(summarise(message.content))
