"""The support desk of an online shop: answers one customer's ticket with the help of three tools.

    python support_desk.py "Order A-1001: where is my parcel?"

An ordinary agent on the ordinary ``openai`` SDK, as one writes it on the first day. Its mistakes are of the kind that
pass every test on a quiet afternoon.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

from openai import OpenAI

import trimtab

trimtab.instrument()  # the only line that is there because of trimtab

MODEL = "gpt-5"
SYSTEM = """You answer customers of the shop Tern & Daughters. Look the order up before you say anything about it.
Dates are ISO (2026-11-18). Answer with JSON: {"reply": "<text to the customer>", "solved": true|false}."""
ORDERS = {
    "A-1001": {"item": "wool blanket", "cents": 8900, "shipped": "2026-11-18"},
    "A-1002": {"item": "tea pot", "cents": 4250, "shipped": "2026-11-17"},
    "A-1003": {"item": "oak shelf", "cents": 31900, "shipped": "2026-11-12"},
    "A-1004": {"item": "desk lamp", "cents": 5900, "shipped": "2026-11-19"},
    "A-1006": {"item": "tea pot", "cents": 4250, "shipped": "2026-11-03"},
    "A-1008": {"item": "bread knife", "cents": 3800, "shipped": "2026-11-16"},
}

client = OpenAI(max_retries=0, timeout=2.0)


def find_order(order_id: str) -> dict[str, Any]:
    """The order with this number."""
    order = ORDERS.get(order_id)
    return {"order_id": order_id, **order} if order else {"orders": []}


def delivery_status(order_id: str, shipped: str) -> dict[str, Any]:
    """Where the parcel of an order is; ``shipped`` is the day it left."""
    days = (datetime(2026, 11, 20) - datetime.strptime(shipped, "%d.%m.%Y")).days
    return {"order_id": order_id, "status": "delivered" if days > 4 else "on its way"}


def refund(order_id: str, cents: int) -> dict[str, Any]:
    """Pay back an amount."""
    return {"order_id": order_id, "refunded_cents": cents}


TOOLS: dict[str, Callable[..., Any]] = {"find_order": find_order, "delivery_status": delivery_status, "refund": refund}
PARAMETERS = {"find_order": ["order_id"], "delivery_status": ["order_id", "shipped"], "refund": ["order_id", "cents"]}


def describe(name: str) -> Any:
    """The tool as the API wants to see it."""
    properties = {p: {"type": "integer" if p == "cents" else "string"} for p in PARAMETERS[name]}
    schema = {"type": "object", "properties": properties, "required": PARAMETERS[name]}
    return {"type": "function", "function": {"name": name, "description": TOOLS[name].__doc__, "parameters": schema}}


def use_tool(name: str, arguments: str) -> str:
    """What the tool answers, or its error, as text for the model."""
    try:
        return json.dumps(TOOLS[name](**json.loads(arguments)))
    except Exception as error:
        return json.dumps({"error": f"{type(error).__name__}: {error}"})


def answer(ticket: str) -> dict[str, Any]:
    """Work on a ticket until the model has an answer."""
    messages: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": ticket}]
    tools = [describe(name) for name in TOOLS]
    while True:
        completion = client.chat.completions.create(
            model=MODEL, messages=messages, tools=tools, max_completion_tokens=120
        )
        message = completion.choices[0].message
        if not message.tool_calls:
            reply: dict[str, Any] = json.loads(message.content or "")
            return reply
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls:
            if call.type != "function":
                continue
            result = use_tool(call.function.name, call.function.arguments)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


if __name__ == "__main__":
    print(answer(sys.argv[1])["reply"])
