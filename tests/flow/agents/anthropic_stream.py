"""Streams Messages, with the SDK's helper and event by event."""

import anthropic
import trimtab; trimtab.instrument()

TOOLS = [
    {"name": "lookup_order", "input_schema": {"type": "object", "properties": {"order_id": {"type": "string"}}}},
    {"name": "shipping_quote", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}},
]
client = anthropic.Anthropic()


def converse(messages):
    while True:
        with client.messages.stream(model="claude-haiku-4-5", max_tokens=200, tools=TOOLS, messages=messages) as stream:
            for text in stream.text_stream:
                print(text, end="", flush=True)
            reply = stream.get_final_message()
        print(f" [{reply.stop_reason}, {reply.usage.output_tokens} tokens]")
        messages.append({"role": "assistant", "content": reply.content})
        uses = [block for block in reply.content if block.type == "tool_use"]
        if not uses:
            return reply
        results = [{"type": "tool_result", "tool_use_id": use.id, "content": f"{use.name}: {use.input}"} for use in uses]
        messages.append({"role": "user", "content": results})


def polish(text):
    """The same text, nicer; read event by event."""
    pieces = []
    request = [{"role": "user", "content": f"Polish: {text}"}]
    for event in client.messages.create(model="claude-sonnet-4-5", max_tokens=100, messages=request, stream=True):
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            pieces.append(event.delta.text)
    return "".join(pieces)


final = converse([{"role": "user", "content": "Where is A-17, and what would Rome cost?"}])
print(polish(final.content[0].text))
