"""A DSPy ReAct program, whose tool calls are text: through its own HTTP client, sync and async, and through LiteLLM."""

import asyncio
import os

import dspy


def lookup_order(order_id: str) -> str:
    """Find an order."""
    print("ran lookup_order")
    return f"order {order_id}: one kettle, now in Oslo"


def shipping_quote(city: str) -> str:
    """Price of a parcel."""
    print("ran shipping_quote")
    return f"{city}: 12 euros"


def language_model(name, engine="lm15"):
    return dspy.LM(f"openai/{name}", api_base=os.environ["OPENAI_BASE_URL"], engine=engine, cache=False)


desk = dspy.ReAct("question -> answer", tools=[lookup_order, shipping_quote], max_iters=5)
question = "Where is A-17, and what would Rome cost?"

for engine, name in (("lm15", "gpt-4o-mini"), ("litellm", "gpt-4o")):
    with dspy.context(lm=language_model(name, engine)):
        print(desk(question=question).answer)  # call


async def main():
    with dspy.context(lm=language_model("gpt-4.1")):
        answer = await desk.acall(question=question)  # call
        print(answer.answer)


asyncio.run(main())
