"""Three customers in a thread pool, a run for each; the client is shared."""

import json
from concurrent.futures import ThreadPoolExecutor

import openai
import trimtab; trimtab.instrument()

client = openai.OpenAI(timeout=18, max_retries=6)
TOOLS = [
    {"type": "function", "function": {"name": "lookup_order", "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}}}},
    {"type": "function", "function": {"name": "shipping_quote", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}},
]


def quote(arguments):
    return f"parcel to {arguments.get('city')}: 12 euros"


def look_up(arguments):
    return f"order {arguments.get('order_id')}: one kettle"


def serve(customer):
    with trimtab.run(name="serve", task=customer):
        messages = [{"role": "user", "content": f"I am {customer}. Where is A-17, and what would Rome cost?"}]
        log = []
        with ThreadPoolExecutor(2) as tools:
            while True:
                reply = client.chat.completions.create(model="gpt-5-mini", messages=messages, tools=TOOLS, max_tokens=128)
                message = reply.choices[0].message
                messages.append(message)
                if not message.tool_calls:
                    return customer, log, message.content
                functions = {"lookup_order": look_up, "shipping_quote": quote}
                futures = [
                    tools.submit(functions[call.function.name], json.loads(call.function.arguments))
                    for call in message.tool_calls
                ]
                for call, future in zip(message.tool_calls, futures):
                    log.append(future.result())
                    messages.append({"role": "tool", "tool_call_id": call.id, "content": future.result()})


with ThreadPoolExecutor(3) as pool:
    for result in pool.map(serve, ["ada", "bob", "cyd"]):
        print(result)
