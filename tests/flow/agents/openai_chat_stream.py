"""A chat loop that streams every answer and puts the tool calls together from their pieces."""

import json
import sys

import openai

client = openai.OpenAI(max_retries=1)
import trimtab; trimtab.instrument()

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {field: {"type": "string"}}}}}
    for name, field in (("lookup_order", "order_id"), ("shipping_quote", "city"))
]


class HelpDesk:
    """Keeps one conversation."""

    def __init__(self):
        self.messages = []

    def turn(self):
        """Stream one answer to stdout; its text and its tool calls."""
        text, calls, usage = [], {}, None
        with client.chat.completions.create(
            model="gpt-5-mini",
            messages=self.messages,
            tools=TOOLS,
            stream=True,
            stream_options={"include_usage": True},
        ) as stream:
            for chunk in stream:
                usage = chunk.usage or usage
                for choice in chunk.choices:
                    if choice.delta.content:
                        sys.stdout.write(choice.delta.content)
                        text.append(choice.delta.content)
                    for piece in choice.delta.tool_calls or []:
                        call = calls.setdefault(piece.index, {"id": piece.id, "name": piece.function.name, "arguments": ""})
                        call["arguments"] += piece.function.arguments or ""
        print("\nused", usage.total_tokens)
        return "".join(text), list(calls.values())

    def ask(self, question):
        """Ask, run tools, ask again, until there is an answer."""
        self.messages.append({"role": "user", "content": question})
        while True:
            text, calls = self.turn()
            message = {"role": "assistant", "content": text or None}
            if calls:
                message["tool_calls"] = [
                    {"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": c["arguments"]}}
                    for c in calls
                ]
            self.messages.append(message)
            if not calls:
                return text
            for call in calls:
                arguments = json.loads(call["arguments"])
                content = f"{call['name']} says {sorted(arguments.values())}"
                self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": content})


print("answer:", HelpDesk().ask("Where is order A-17, and what would Rome cost?"))
