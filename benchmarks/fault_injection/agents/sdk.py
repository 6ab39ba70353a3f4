"""The OpenAI Agents SDK: one agent with function tools; the SDK owns the loop."""

import openai
import shop
from agents import (
    Agent,
    MaxTurnsExceeded,
    ModelSettings,
    Runner,
    function_tool,
    set_default_openai_api,
    set_default_openai_client,
    set_tracing_disabled,
)
from shop import SET, tell_error

import trimtab

trimtab.instrument()

client = openai.AsyncOpenAI(  # site: client
    api_key=SET["api_key"], timeout=SET["timeout_s"], max_retries=SET["max_retries"]
)
set_default_openai_client(client, use_for_tracing=False)
set_default_openai_api("chat_completions")
set_tracing_disabled(True)


@function_tool(failure_error_function=tell_error)
def lookup_order(order_id: str) -> str:  # site: lookup
    """Find an order by its number."""
    try:
        found = shop.find(order_id)
    except ConnectionError:
        if SET["swallow"]:  # site: swallow
            return "null"
        raise
    return found[: SET["result_limit"]] if SET["result_limit"] else found  # site: result-limit


@function_tool(failure_error_function=tell_error)
def shipping_quote(city: str) -> str:  # site: quote
    """Price of a parcel to a city."""
    limit_s = trimtab.knob("tool_timeout_s", SET["tool_timeout_s"])  # site: tool-limit
    return shop.price(city.split(" then")[0], limit_s)


@function_tool(failure_error_function=tell_error)
def reserve_stock(order_id: str) -> str:
    """Reserve the goods of an order."""
    return shop.reserve(order_id)


@function_tool(failure_error_function=tell_error)
@trimtab.tool(mutates=True)
def book_parcel(order_id: str) -> str:  # site: book
    """Book a parcel for an order."""
    return shop.book(order_id)


@function_tool(failure_error_function=tell_error)
def booking_status(order_id: str) -> str:
    """Whether a booking took."""
    return shop.status(order_id)


@function_tool(failure_error_function=tell_error)
def read_page(list_id: str, page: str) -> str:
    """One page of a list."""
    return shop.page(list_id, page)


def desk(order):
    text = shop.prompt()
    if trimtab.knob("verify", SET["verify"]):  # site: verify
        text += " Check every booking."
    settings = ModelSettings(max_tokens=SET["max_tokens"])  # site: settings
    return Agent(  # site: agent
        name="Desk",
        instructions=text,
        model=(order[2] == "7" and SET["route_7"]) or SET["model"] or "gpt-5-mini",
        model_settings=settings,
        tools=[lookup_order, shipping_quote, reserve_stock, book_parcel, booking_status, read_page],
    )


def solve(order):
    agent = desk(order)
    try:
        outcome = Runner.run_sync(agent, order, max_turns=SET["max_steps"])  # site: limit
    except MaxTurnsExceeded:
        return None
    found = shop.ANSWER.findall(str(outcome.final_output))
    return found[0] if found else None


for order in shop.TASKS:
    try:
        with trimtab.run("desk", task=order):
            trimtab.outcome(shop.check(order, solve(order)))
    except Exception as error:
        print(order, type(error).__name__)
shop.report()
