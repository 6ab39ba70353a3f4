"""Several agents: a lead hands each order to a finder and then to a pricer, which have tools and loops of their own."""

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
    return shop.find(order_id)


@trimtab.tool(mutates=False)
def shipping_quote(city):  # site: quote
    text = shop.price(city, SET["tool_timeout_s"])
    return shop.Quote(text) if SET["quote_returns"] == "object" else text


def schema(tool, parameter):
    parameters = {
        "type": "object", "properties": {parameter: {"type": "string"}}, "required": [parameter],
        "additionalProperties": False,
    }  # fmt: skip
    return {"type": "function", "function": {"name": tool, "strict": SET["strict"], "parameters": parameters}}


LEAD = [schema("ask_finder", "order_id"), schema("ask_pricer", "found")]
FINDER = [schema("lookup_order", SET["schema_parameter"])]  # site: schema
PRICER = [schema("shipping_quote", "city")]


def ask(messages, tools, order):
    model = (order[2] == "7" and SET["route_7"]) or SET["model"] or "gpt-5-mini"
    for turn in range(SET["outer_retries"] + 1):  # site: retry
        try:
            return create(messages, tools, model)
        except openai.InternalServerError:
            if SET["fallback"]:
                return create(messages, tools, SET["fallback"])  # site: fallback
            if turn == SET["outer_retries"]:
                raise
        except openai.APIError:
            if turn == SET["outer_retries"]:
                raise


def create(messages, tools, model):
    reply = client.chat.completions.create(  # site: call
        model=model, messages=messages, tools=tools, max_completion_tokens=SET["max_tokens"],
        temperature=SET["temperature"],
    )  # fmt: skip
    return reply.choices[0].message


def system(role):
    now = f"It is now {datetime.now().isoformat()}. " if SET["clock"] else ""
    return {"role": "system", "content": f"{now}{role} {shop.prompt()}"}  # site: prompt


def work(role, task, tools, functions, order):
    """One agent's loop, until it asks for no more tools."""
    messages = [system(role), {"role": "user", "content": task}]
    for _ in range(trimtab.knob("max_steps", SET["max_steps"])):  # site: limit
        reply = ask(messages, tools, order)
        messages.append(reply.model_dump(exclude_none=True))
        if not reply.tool_calls:
            return reply.content or "", messages
        for call in reply.tool_calls:
            messages.append({"role": "tool", "tool_call_id": call.id, "content": use(call, functions)})
    return "", messages


def use(call, functions):
    try:
        return str(functions[call.function.name](**json.loads(call.function.arguments)))
    except openai.APIError:
        raise
    except Exception as error:
        return f"Error: {type(error).__name__}: {error}"


def solve(order):
    def ask_finder(order_id):
        return work("You find orders.", order_id, FINDER, {"lookup_order": lookup_order}, order)[0]

    def ask_pricer(found):
        fields = dict(zip(["city", "service"], found.split(" ")))
        kept = trimtab.knob("handoff_fields", SET["handoff_fields"])  # site: handoff
        task = " ".join(fields[name] for name in kept if name in fields)
        return work("You price parcels.", task, PRICER, {"shipping_quote": shipping_quote}, order)[0]

    hands = {"ask_finder": ask_finder, "ask_pricer": ask_pricer}
    text, messages = work("You lead the desk.", order, LEAD, hands, order)
    for _ in range(2):
        if shop.ANSWER.search(text):
            break
        messages.append({"role": "user", "content": f"Please provide exactly one <answer> block for {order}."})
        reply = ask(messages, LEAD, order)
        messages.append(reply.model_dump(exclude_none=True))
        text = reply.content or ""
    for _ in range(trimtab.knob("ask_again", SET["ask_again"])):  # site: again
        messages.append({"role": "user", "content": "Are you sure?"})
        reply = ask(messages, LEAD, order)
        messages.append(reply.model_dump(exclude_none=True))
    found = shop.ANSWER.findall(text)
    return found[0] if found else None


def serve(order):
    try:
        with trimtab.run("desk", task=order):
            trimtab.outcome(shop.check(order, solve(order)))
    except Exception as error:
        print(order, type(error).__name__)


with ThreadPoolExecutor(trimtab.knob("parallelism", SET["parallelism"])) as pool:  # site: pool
    list(pool.map(serve, shop.TASKS))
shop.report()
