"""Answers where an order is and what sending it again would cost: a plain OpenAI chat loop."""

import json

import openai
import trimtab; trimtab.instrument()

client = openai.OpenAI(timeout=20.0, max_retries=3)
ORDERS = {"A-17": {"item": "kettle", "weight_kg": 1.4, "city": "Oslo"}}
PRICES = {"Oslo": 9.5, "Rome": 12.0}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "lookup_order",
            "description": "Find an order by its number.",
            "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
        },
    },
    {
        "type": "function",
        "function": {
            "name": "shipping_quote",
            "description": "Price of a parcel to a city, in euros.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    },
]


def lookup_order(order_id):
    return ORDERS[order_id]


def shipping_quote(city):
    return {"city": city, "euros": PRICES[city]}


def call_tool(call):
    function = {"lookup_order": lookup_order, "shipping_quote": shipping_quote}[call.function.name]
    return json.dumps(function(**json.loads(call.function.arguments)))


def answer(question):
    messages = [
        {"role": "system", "content": "You are the help desk of a kettle shop. Use the tools."},
        {"role": "user", "content": question},
    ]
    for _ in range(6):
        response = client.chat.completions.create(
            model="gpt-5-mini",
            messages=messages,
            tools=TOOLS,
            max_completion_tokens=400,
            temperature=0.2,
            stop=["\nUser:"],
        )
        message = response.choices[0].message
        messages.append(message)
        if not message.tool_calls:
            return message.content
        for call in message.tool_calls:
            print("tool", call.function.name, call.function.arguments)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": call_tool(call)})
    raise RuntimeError("no answer after 6 rounds")


if __name__ == "__main__":
    print(answer("Where is order A-17, and what would it cost to send it to Rome instead?"))
