"""A loop written by hand on Anthropic's messages, where results come back as blocks of a user turn."""

from datetime import datetime
from pathlib import Path

import anthropic
import shop
from shop import SET

import trimtab

trimtab.instrument()

client = anthropic.Anthropic(  # site: client
    api_key=SET["api_key"], timeout=SET["timeout_s"], max_retries=SET["max_retries"]
)


@trimtab.tool(mutates=False)
def lookup_order(order_id):  # site: lookup
    found = shop.find(order_id)
    return found[: SET["result_limit"]] if SET["result_limit"] else found  # site: result-limit


@trimtab.tool(mutates=False)
def shipping_quote(city):  # site: quote
    text = shop.price(city.split(" then")[0], SET["tool_timeout_s"])
    return shop.Quote(text) if SET["quote_returns"] == "object" else text


@trimtab.tool(mutates=True)
def reserve_stock(order_id):  # site: reserve
    return shop.reserve(order_id)


@trimtab.tool(mutates=True)
def release_stock(order_id):
    return shop.release(order_id)


@trimtab.tool(mutates=True)
def book_parcel(order_id):  # site: book
    return shop.book(order_id)


@trimtab.tool(mutates=False)
def booking_status(order_id):
    return shop.status(order_id)


@trimtab.tool(mutates=False)
def read_page(list_id, page):
    return shop.page(list_id, page)


TOOLS = {
    "lookup_order": (lookup_order, [SET["schema_parameter"]]),  # site: schema
    "shipping_quote": (shipping_quote, ["city"]),
    "reserve_stock": (reserve_stock, ["order_id"]),
    "book_parcel": (book_parcel, ["order_id"]),
    "booking_status": (booking_status, ["order_id"]),
    "read_page": (read_page, ["list_id", "page"]),
}
SCHEMAS = [
    {
        "name": name,
        "input_schema": {
            "type": "object",
            "properties": {p: {"type": "string"} for p in parameters},
            "required": parameters,
        },
    }
    for name, (_, parameters) in TOOLS.items()
]


def system_prompt():
    now = f"It is now {datetime.now().isoformat()}. " if SET["clock"] else ""
    text = (Path(__file__).parent / SET["prompt_file"]).read_text().strip()  # site: prompt
    return f"{now}{text} Check every booking. {SET['prompt_more']}"  # site: prompt


def ask(messages, model):
    for turn in range(SET["outer_retries"] + 1):  # site: retry
        try:
            return client.messages.create(  # site: call
                model=model, system=system_prompt(), messages=messages, tools=SCHEMAS, max_tokens=SET["max_tokens"],
                stop_sequences=SET["stop"] or anthropic.omit,
            )  # fmt: skip
        except anthropic.APIError:
            if turn == SET["outer_retries"]:
                raise


def ask_somebody(messages, order):
    try:
        return ask(messages, (order[2] == "7" and SET["route_7"]) or SET["model"] or "claude-haiku-4-5")
    except anthropic.APIStatusError as error:
        if not SET["fallback"] or error.status_code < 500:
            raise
        return ask(messages, SET["fallback"])  # site: fallback


def use(block):
    """Result block of one tool use."""
    for turn in range(SET["tool_retries"] + 1):
        try:
            if block.name not in TOOLS:
                return {
                    "type": "tool_result",
                    "tool_use_id": block.id,
                    "content": f"no tool {block.name}",
                    "is_error": True,
                }
            text = str(TOOLS[block.name][0](**block.input))  # site: tool-retry
            return {"type": "tool_result", "tool_use_id": block.id, "content": text}
        except shop.RefusedError:
            raise
        except Exception as error:
            if turn == SET["tool_retries"] or not isinstance(error, TimeoutError):
                text = f"{type(error).__name__}: {error}"
                return {"type": "tool_result", "tool_use_id": block.id, "content": text, "is_error": True}


def shortened(messages):
    """The conversation with its old results dropped, where it is long."""
    limit = trimtab.knob("compact_at", SET["compact_at"])  # site: compact
    if not limit or sum(len(str(m["content"])) for m in messages) < limit:
        return messages
    short = []
    for m in messages[:-4]:
        blocks = m["content"] if isinstance(m["content"], list) else []
        dropped = [b | {"content": "(dropped)"} if b.get("type") == "tool_result" else b for b in blocks]
        short.append(m | {"content": dropped or m["content"]})
    return short + messages[-4:]


def parse(text):
    found = shop.ANSWER.findall(text)
    if not found or (SET["parser"] == "exactly one" and len(found) > 1):  # site: parser
        return None
    return found[0]


def solve(order):
    messages = [{"role": "user", "content": order}]
    seen, used, complaints, asked_again, answer = set(), 0, 0, 0, None
    for _ in range(trimtab.knob("max_steps", SET["max_steps"])):  # site: limit
        messages = shortened(messages)
        reply = ask_somebody(messages, order)
        messages.append({"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in reply.content]})
        blocks = []
        for block in reply.content:
            if block.type == "tool_use":
                used += 1
                blocks.append(use(block))
                call = (block.name, str(block.input), blocks[-1]["content"])
                if SET["loop_guard"] and call in seen:
                    text = f"You have asked that already; answer {order} with what you have."
                    blocks.append({"type": "text", "text": text})
                seen.add(call)
        if blocks:
            messages.append({"role": "user", "content": blocks})
            continue
        answer = parse("".join(b.text for b in reply.content if b.type == "text"))
        if answer is None:
            complaints += 1
            if complaints > 2:
                return None
            messages.append({"role": "user", "content": "Your reply must contain a single <answer> tag. Try again."})
        elif used < trimtab.knob("min_evidence", SET["min_evidence"]):  # site: evidence
            messages.append({"role": "user", "content": f"Use the tools first. The order is {order}"})
        elif asked_again < trimtab.knob("ask_again", SET["ask_again"]):  # site: again
            asked_again += 1
            messages.append({"role": "user", "content": "Are you sure?"})
        else:
            return answer
    return answer


for order in shop.TASKS:
    try:
        with trimtab.run("desk", task=order):
            try:
                answer = solve(order)
            except shop.RefusedError:
                if not SET["release"]:
                    raise
                release_stock(order)  # site: release
                answer = "declined"
            trimtab.outcome(shop.check(order, answer))
    except Exception as error:
        print(order, type(error).__name__)
shop.report()
