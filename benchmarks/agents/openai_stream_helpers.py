"""Chat completions through the SDK's streaming helper, which puts the answer together."""

import json

from openai import OpenAI

client = OpenAI()


def tool(name, argument):
    parameters = {
        "type": "object",
        "properties": {argument: {"type": "string"}},
        "required": [argument],
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "parameters": parameters, "strict": True}}


TOOLS = [tool("lookup_order", "order_id"), tool("shipping_quote", "city")]


def run_tool(name, arguments):
    print("ran", name, arguments)
    return {"lookup_order": "one kettle, now in Oslo", "shipping_quote": "12 euros"}[name]


def turn(messages):
    with client.chat.completions.stream(  # call
        model="gpt-5-mini", messages=messages, tools=TOOLS, stream_options={"include_usage": True}
    ) as stream:
        for event in stream:
            if event.type == "content.delta":
                print(event.delta, end="")
        return stream.get_final_completion().choices[0].message


messages = [{"role": "user", "content": "Where is A-17, and what would Rome cost?"}]
message = turn(messages)
while message.tool_calls:
    messages.append({"role": "assistant", "tool_calls": [call.to_dict() for call in message.tool_calls]})
    for call in messages[-1]["tool_calls"]:
        call["function"].pop("parsed_arguments", None)
        result = run_tool(call["function"]["name"], json.loads(call["function"]["arguments"]))
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
    message = turn(messages)
print()
