"""DSPy with its ReAct module; the provider's address is the one in OPENAI_BASE_URL."""

import os

import dspy

import trimtab

trimtab.instrument(service="dspy-desk")


def lookup_order(order_id: str) -> str:
    """Where an order is."""
    return f"order {order_id}: one kettle, now in Oslo"


dspy.configure(lm=dspy.LM("openai/gpt-4o-mini", api_base=os.environ.get("OPENAI_BASE_URL"), cache=False))
desk = dspy.ReAct("question -> answer", tools=[lookup_order], max_iters=4)
print(desk(question="Where is order A-17?").answer)  # every call is pinned here
