"""The shop behind the agents' tools, the settings of their harness, and the check of what they did. No agent itself."""

import json
import os
import re
import threading
import time
import zlib

SET = {
    "api_key": "sk-scripted-0123456789", "max_retries": 3, "timeout_s": 5.0, "outer_retries": 0, "parallelism": 1,
    "model": None, "route_7": None, "fallback": "", "max_tokens": 300, "temperature": 0.2, "stop": None,
    "max_steps": 12, "recursion_limit": None, "loop_guard": True, "ask_again": 0, "min_evidence": 1, "verify": True,
    "parser": "first", "compact_at": 8000, "compact_keeps_task": True, "result_limit": 2000,
    "schema_parameter": "order_id", "strict": True, "prompt_file": "desk.txt", "prompt_more": "", "clock": False,
    "swallow": False, "quote_returns": "text", "quote_service": "carriers", "tool_timeout_s": 2.0, "tool_retries": 0,
    "release": True, "handoff_fields": ["city", "service"],
    "flaky_7": False, "slow_7": False, "large_7": False, "late_7": False, "refuse_8": False, "pending_9": False,
}  # fmt: skip
SET |= json.loads(os.environ.get("HARNESS", "{}"))
TASKS = json.loads(os.environ["TASKS"])

PRICES = {"Oslo": 9.5, "Rome": 12.0, "Bern": 8.25, "Paris": 11.0, "Bergen": 14.5, "Turin": 13.75}
FAR = ("Bergen", "Turin")
ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)

_lock = threading.Lock()
_tried, _reserved, _booked, _results = set(), set(), {}, {}


class RefusedError(Exception):
    """The carrier takes no parcel of this order."""


class Quote:
    """A price as the carrier's client library gives it."""

    def __init__(self, text):
        self.text = text


def number(text):
    found = re.search(r"[QBL]-\d+", str(text))
    return found[0] if found else ""


def city_of(order):
    if order[2:4] in ("70", "73"):
        return {"70": "Oslo", "73": "Bern"}[order[2:4]]
    cities = FAR if order[2] == "7" else ("Oslo", "Rome", "Bern", "Paris")
    return cities[zlib.crc32(order.encode()) % len(cities)]


def service_of(order):
    return "express" if order[2] == "5" else ""


def first_time(what):
    with _lock:
        new = what not in _tried
        _tried.add(what)
    return new


def find(order_id):
    """City and service of an order, and its history where it has a long one."""
    order = number(order_id)
    if "variant" in order_id or not order:
        return f"nothing found for {order_id}"
    if SET["flaky_7"] and order[2] == "7" and first_time(("find", order)):
        raise ConnectionError("the order service is down")
    history = " then scanned at a depot of the carrier" * 750 if SET["large_7"] and order[2] == "7" else ""
    return f"{city_of(order)} {service_of(order)}".strip() + history


def price(found, limit_s):
    """Price of a parcel to a city."""
    if SET["quote_service"] == "gone":
        raise ConnectionError("the carrier's service does not answer")
    city, _, service = found.partition(" ")
    if SET["slow_7"] and city in FAR:
        time.sleep(min(limit_s, 0.06))
        if limit_s < 0.06:
            raise TimeoutError(f"the carrier took longer than {limit_s} s")
    return listed_price(city, service) if city in PRICES else f"no carrier goes to {found}"


def listed_price(city, service):
    return f"{PRICES[city] * (2 if service == 'express' else 1):.2f} euros"


def page(list_id, at):
    """A page of a list; the last one says so."""
    pages, chars = (43, 150) if list_id[2] == "4" else (18, 1500)
    end = "no more pages" if int(at) + 1 >= pages else "more follows"
    return f"{list_id} page {at}: " + f"row {zlib.crc32(f'{list_id} {at}'.encode())} " * (chars // 15) + end


def reserve(order_id):
    with _lock:
        _reserved.add(number(order_id))
    return "reserved"


def release(order_id):
    with _lock:
        _reserved.discard(number(order_id))
    return "released"


def book(order_id):
    """Book a parcel; some bookings take only at the second try, some say so late."""
    order = number(order_id)
    if SET["refuse_8"] and order[2] == "8":
        raise RefusedError(f"the carrier refuses {order}")
    if SET["pending_9"] and order[2] == "9" and first_time(("book", order)):
        return "accepted"
    with _lock:
        _booked[order] = _booked.get(order, 0) + 1
    if SET["late_7"] and order[2] == "7" and first_time(("late", order)):
        raise TimeoutError("the carrier's answer is late")
    return "booked"


def status(order_id):
    return "booked" if _booked.get(number(order_id)) else "still pending"


def check(order, answer):
    """Whether the task was done; the agent's own judge."""
    if order[0] == "B" and SET["refuse_8"] and order[2] == "8":
        done = order not in _reserved and not _booked.get(order)
    elif order[0] == "B":
        done = answer == "booked" and _booked.get(order) == 1
    elif order[0] == "L":
        done = answer is not None and answer.startswith(order) and answer.endswith("no more pages")
    else:
        done = answer == listed_price(city_of(order), service_of(order))
    _results[order] = done
    return done


def tell_error(_, error):
    """What a model is told of a tool's exception, where a framework asks."""
    return f"Error: {type(error).__name__}: {error}"


def report():
    """One line for whoever runs the agent: how many tasks there were, and how many failed."""
    print(json.dumps({"runs": len(TASKS), "failed": sum(not _results.get(order) for order in TASKS)}))


def prompt():
    """The system prompt's text."""
    with open(os.path.join(os.path.dirname(__file__), "desk.txt")) as file:
        return file.read().strip()
