"""A loop written by hand on OpenAI's chat completions: tools, a parser, a step limit, orders in a thread pool."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import openai
import shop
from shop import SET

import trimtab

trimtab.instrument()

client = openai.OpenAI(  # site: client
    api_key=SET["api_key"], timeout=SET["timeout_s"], max_retries=SET["max_retries"]
)


@trimtab.tool(mutates=False)
def lookup_order(order_id):  # site: lookup
    try:
        found = shop.find(order_id)
    except ConnectionError:
        if SET["swallow"]:  # site: swallow
            return "null"
        raise
    return found[: SET["result_limit"]] if SET["result_limit"] else found  # site: result-limit


@trimtab.tool(mutates=False)
def shipping_quote(city):  # site: quote
    limit_s = trimtab.knob("tool_timeout_s", SET["tool_timeout_s"])  # site: tool-limit
    return shop.price(city.split(" then")[0], limit_s)


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


def schema(tool, *parameters):
    properties = {name: {"type": "string"} for name in parameters}
    function = {
        "name": tool, "strict": SET["strict"],
        "parameters": {
            "type": "object", "properties": properties, "required": list(parameters), "additionalProperties": False,
        },
    }  # fmt: skip
    return {"type": "function", "function": function}


TOOLS = {f.__name__: f for f in (lookup_order, shipping_quote, reserve_stock, book_parcel, booking_status, read_page)}
SCHEMAS = [
    schema("lookup_order", SET["schema_parameter"]),  # site: schema
    schema("shipping_quote", "city"),
    schema("reserve_stock", "order_id"),
    schema("book_parcel", "order_id"),
    schema("booking_status", "order_id"),
    schema("read_page", "list_id", "page"),
]


def system_prompt():
    parts = [f"It is now {datetime.now().isoformat()}."] if SET["clock"] else []
    parts += [shop.prompt(), SET["prompt_more"]]  # site: prompt
    if trimtab.knob("verify", SET["verify"]):  # site: verify
        parts.append("Check every booking.")
    return " ".join(part for part in parts if part)


def ask(messages, model):
    for turn in range(SET["outer_retries"] + 1):  # site: retry
        try:
            return client.chat.completions.create(  # site: call
                model=model, messages=messages, tools=SCHEMAS, max_completion_tokens=SET["max_tokens"],
                temperature=SET["temperature"], stop=SET["stop"] or openai.omit,
            ).choices[0].message  # fmt: skip
        except openai.APIError:
            if turn == SET["outer_retries"]:
                raise


def ask_somebody(messages, order):
    try:
        return ask(messages, (order[2] == "7" and SET["route_7"]) or SET["model"] or "gpt-5-mini")
    except openai.InternalServerError:
        if not SET["fallback"]:
            raise
        return ask(messages, SET["fallback"])  # site: fallback


def use(call):
    name, text = call.function.name, call.function.arguments
    try:
        arguments = json.loads(text)
    except ValueError as error:
        return f"Error: the arguments of {name} are no JSON: {error}"
    for turn in range(SET["tool_retries"] + 1):
        try:
            return str(TOOLS[name](**arguments))  # site: tool-retry
        except KeyError:
            return f"Error: there is no tool {name}"
        except shop.RefusedError:
            raise
        except Exception as error:
            if turn == SET["tool_retries"] or not isinstance(error, TimeoutError):
                return f"Error: {type(error).__name__}: {error}"


def compact(messages):
    """Shorten a long conversation: old results go."""
    limit = trimtab.knob("compact_at", SET["compact_at"])  # site: compact
    if not limit or sum(len(str(m.get("content"))) for m in messages) < limit:
        return messages
    if not SET["compact_keeps_task"]:
        return messages[-4:]
    return [m | {"content": "(dropped)"} if m["role"] == "tool" and m not in messages[-4:] else m for m in messages]


def parse(text):
    found = shop.ANSWER.findall(text or "")
    if not found or (SET["parser"] == "exactly one" and len(found) > 1):  # site: parser
        return None
    return found[0]


def solve(order):
    messages = [{"role": "system", "content": system_prompt()}, {"role": "user", "content": order}]
    seen, used, complaints, asked_again, answer = set(), 0, 0, 0, None
    for _ in range(trimtab.knob("max_steps", SET["max_steps"])):  # site: limit
        messages = compact(messages)
        reply = ask_somebody(messages, order)
        messages.append(reply.model_dump(exclude_none=True))
        for call in reply.tool_calls or ():
            used += 1
            result = use(call)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
            if SET["loop_guard"] and (call.function.name, call.function.arguments, result) in seen:
                messages.append(
                    {"role": "user", "content": f"You have asked that already; answer {order} with what you have."}
                )
            seen.add((call.function.name, call.function.arguments, result))
        if reply.tool_calls:
            continue
        answer = parse(reply.content)
        if answer is None:
            complaints += 1
            if complaints > 2:
                return None
            messages.append({"role": "user", "content": "Please provide exactly one <answer> block."})
        elif used < trimtab.knob("min_evidence", SET["min_evidence"]):  # site: evidence
            messages.append({"role": "user", "content": f"Use the tools first. The order is {order}"})
        elif asked_again < trimtab.knob("ask_again", SET["ask_again"]):  # site: again
            asked_again += 1
            messages.append({"role": "user", "content": "Are you sure?"})
        else:
            return answer
    return answer


def serve(order):
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


with ThreadPoolExecutor(trimtab.knob("parallelism", SET["parallelism"])) as pool:  # site: pool
    list(pool.map(serve, shop.TASKS))
shop.report()
