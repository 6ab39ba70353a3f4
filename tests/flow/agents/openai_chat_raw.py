"""Chat completions past the plain method: the first answer as a raw response, the next ones by the stream helper."""

import json

import openai
import trimtab; trimtab.instrument()

client = openai.OpenAI()
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("lookup_order", "shipping_quote")
]


def first_turn(messages):
    """One answer, headers first."""
    raw = client.chat.completions.with_raw_response.create(model="gpt-5-mini", messages=messages, tools=TOOLS)
    print(raw.status_code, raw.headers["content-type"])
    return raw.parse().choices[0].message


def next_turn(messages):
    """One answer, put together by the SDK."""
    with client.chat.completions.stream(
        model="gpt-5-mini", messages=messages, tools=TOOLS, stream_options={"include_usage": True}
    ) as stream:
        for event in stream:
            if event.type == "content.delta":
                print(event.delta, end="|")
        return stream.get_final_completion().choices[0].message


messages = [{"role": "user", "content": "Where is A-17, and what would Rome cost?"}]
message = first_turn(messages)
while message.tool_calls:
    asked = [
        {"id": c.id, "type": "function", "function": {"name": c.function.name, "arguments": c.function.arguments}}
        for c in message.tool_calls
    ]
    messages.append({"role": "assistant", "tool_calls": asked})
    for call in message.tool_calls:
        values = sorted(json.loads(call.function.arguments).values())
        messages.append({"role": "tool", "tool_call_id": call.id, "content": f"{call.function.name} says {values}"})
    message = next_turn(messages)
print("\nanswer:", message.content)
