"""LiteLLM in front of three providers, whole and streamed."""

import json

import litellm

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]},
        },
    }
    for name, argument in (("lookup_order", "order_id"), ("shipping_quote", "city"))
]


def run_tool(name, arguments):
    print("ran", name)
    return f"{name} says {sorted(arguments.values())}"


def converse(model):
    messages = [{"role": "user", "content": "Where is A-17, and what would Rome cost?"}]
    while True:
        message = litellm.completion(model, messages, tools=TOOLS).choices[0].message  # call
        if not message.tool_calls:
            return message.content
        messages.append(message.model_dump())
        for call in message.tool_calls:
            content = run_tool(call.function.name, json.loads(call.function.arguments))
            name, call_id = call.function.name, call.id
            messages.append({"role": "tool", "tool_call_id": call_id, "name": name, "content": content})


for model in ("openai/gpt-5-mini", "anthropic/claude-haiku-4-5", "gemini/gemini-2.5-flash"):
    print(model, converse(model))

question = [{"role": "user", "content": "Check: all well?"}]
options = {"include_usage": True}
for chunk in litellm.completion("openai/gpt-5-nano", question, stream=True, stream_options=options):  # call
    print(chunk.choices[0].delta.content if chunk.choices else "", end="|")
print()
