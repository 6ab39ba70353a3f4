"""openai-agents, blocking, on chat completions; the quote tool fails."""

from agents import Agent, Runner, function_tool, set_default_openai_api
import trimtab; trimtab.instrument()

set_default_openai_api("chat_completions")


@function_tool
def lookup_order(order_id: str) -> str:
    """Find an order by its number."""
    return f"order {order_id}: one kettle, now in Oslo"


@function_tool
def shipping_quote(city: str) -> str:
    """Price of a parcel to a city."""
    raise ValueError(f"no carrier serves {city}")


def main():
    desk = Agent(name="Help desk", instructions="Use the tools.", model="gpt-5-mini", tools=[lookup_order, shipping_quote])
    outcome = Runner.run_sync(desk, "Where is A-17, and what would Rome cost?")
    print(outcome.final_output)
    print(outcome.context_wrapper.usage.requests, "requests")


if __name__ == "__main__":
    main()
