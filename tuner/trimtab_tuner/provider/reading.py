"""Reading rules, answers and faults from tables of a scenario.

In: mappings from TOML or JSON and where they stand. Out: :class:`~.rules.Rule` and :class:`~.answers.Answer` objects,
or a :class:`~.errors.ScenarioError` that names the place. Everything is checked here, so that a scenario which loads
can't fail later.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from .answers import FAULTS, FINISHES, Answer, Fault, ToolCall, UsageScript
from .errors import ScenarioError
from .rules import Rule
from .validation import Table

APIS = ("openai.chat", "openai.responses", "openai.embeddings", "anthropic.messages", "gemini", "ollama")
"""Names of the wire formats."""

_WORDS = ("this", "is", "a", "synthetic", "answer", "of", "a", "scripted", "provider", "and", "means", "nothing")


def read_rule(data: object, defaults: Mapping[str, Any], where: str) -> Rule:
    """The rule that ``data`` describes, which begins with ``defaults``."""
    own = Table(data, where)
    table = own.over(defaults)
    faults = _read_faults(table)
    says = any(key in own for key in ("text", "words", "tool_calls", "finish"))
    answer = _read_answer(table)
    api = table.text("api")
    if not says and not faults and api is None:
        raise ScenarioError.bad_value(where, data, "a rule with text, words, tool_calls or a fault")
    # A delay or a spoiled answer needs something to delay or spoil; a status or a drop does not.
    speaks = says or not faults or any(f.kind not in ("status", "drop") for f in faults)
    rule = Rule(
        answer=answer if speaks else None,
        faults=faults,
        model=table.text("model"),
        api=api,
        step=table.counts("step"),
        nth=table.counts("nth", least=1),
        contains=table.text("contains"),
        body=table.texts("body"),
        body_lacks=table.texts("body_lacks"),
        body_above_chars=table.count("body_above_chars"),
        api_key=table.text("api_key"),
        in_flight_above=table.count("in_flight_above"),
        probability=float(table.number("probability", 1.0, most=1.0) or 0.0),
        times=table.count("times", least=1),
    )
    table.done()
    if api is not None and not any(fnmatchcase(name, api) for name in APIS):
        raise ScenarioError.bad_choice(table.path("api"), api, APIS)
    return rule


def read_answer(data: object, defaults: Mapping[str, Any], where: str) -> Answer:
    """The answer that ``data`` describes, with nothing but an answer in it."""
    table = Table(data, where).over(defaults)
    answer = _read_answer(table)
    table.done()
    return answer


def _read_answer(table: Table) -> Answer:
    words = table.count("words", least=1)
    text = table.text("text", "") or ""
    if words is not None:
        text = " ".join(itertools.islice(itertools.cycle(_WORDS), words))
    chunks = table.count("chunks", least=1)
    if chunks is not None and text and chunks > len(text) and "{" not in text:
        expected = f"no more than the {len(text)} characters of the text (`words = {chunks}` makes a longer one)"
        raise ScenarioError.bad_value(table.path("chunks"), chunks, expected)
    return Answer(
        text=text,
        tool_calls=tuple(
            _read_call(c, f"{table.path('tool_calls')}[{i}]") for i, c in enumerate(table.items("tool_calls"))
        ),
        finish=table.choice("finish", "stop", FINISHES),
        usage=_read_usage(table),
        chunks=chunks,
        delay_s=float(table.number("delay_s") or 0.0),
        chunk_delay_s=float(table.number("chunk_delay_s") or 0.0),
        response_model=table.text("response_model"),
        dimensions=table.count("dimensions", 8, least=1, most=4096) or 8,
    )


def _read_call(data: object, where: str) -> ToolCall:
    table = Table(data, where)
    name = table.text("name")
    arguments = table.raw("arguments", {})
    table.done()
    if not name:
        raise ScenarioError.bad_value(table.path("name"), name, "the name of a tool")
    if isinstance(arguments, str):
        return ToolCall(name, arguments)
    if not isinstance(arguments, Mapping):
        raise ScenarioError.bad_value(table.path("arguments"), arguments, "a table, or a string that is sent as it is")
    try:
        return ToolCall(name, json.dumps(arguments, ensure_ascii=False))
    except TypeError as error:  # a TOML date, say
        raise ScenarioError.bad_value(
            table.path("arguments"), arguments, f"values that JSON can hold ({error})"
        ) from error


def _read_usage(table: Table) -> UsageScript | None:
    data = table.raw("usage", {})
    if data is False:
        return None
    usage = Table(data, table.path("usage"))
    script = UsageScript(
        input_tokens=usage.count("input_tokens"),
        output_tokens=usage.count("output_tokens"),
        cached_tokens=usage.count("cached_tokens", 0) or 0,
        cache_write_tokens=usage.count("cache_write_tokens", 0) or 0,
        reasoning_tokens=usage.count("reasoning_tokens", 0) or 0,
        cost_usd=usage.number("cost_usd", None),
    )
    usage.done()
    cached = script.cached_tokens + script.cache_write_tokens
    if script.input_tokens is not None and cached > script.input_tokens:
        raise ScenarioError.bad_value(
            usage.path("input_tokens"), script.input_tokens, f"at least the {cached} cached tokens it counts"
        )
    if script.output_tokens is not None and script.reasoning_tokens > script.output_tokens:
        expected = f"at least the {script.reasoning_tokens} reasoning tokens it counts"
        raise ScenarioError.bad_value(usage.path("output_tokens"), script.output_tokens, expected)
    return script


def _read_faults(table: Table) -> tuple[Fault, ...]:
    single = table.raw("fault")
    faults = [] if single is None else [_read_fault(single, table.path("fault"))]
    for i, item in enumerate(table.items("faults")):
        faults.append(_read_fault(item, f"{table.path('faults')}[{i}]"))
    return tuple(faults)


def _read_fault(data: object, where: str) -> Fault:
    table = Table({"kind": data} if isinstance(data, str) else data, where)
    has_status = "status" in table
    kind = table.choice("kind", "status" if has_status else "", FAULTS)
    if kind == "status" and not has_status:
        raise ScenarioError.bad_value(table.path("status"), None, "a status from 400 to 599")
    fault = Fault(
        kind=kind,
        times=table.count("times", least=1),
        delay_s=float(table.number("delay_s") or 0.0),
    )
    if kind in ("status", "stream_error"):
        fault = Fault(
            **{name: getattr(fault, name) for name in ("kind", "times", "delay_s")},
            status=table.count("status", 500, least=400, most=599) or 500,
            message=table.text("message"),
            type=table.text("type"),
            code=table.text("code"),
            retry_after_s=table.number("retry_after_s", None),
            retry_after_ms=table.number("retry_after_ms", None),
            should_retry=table.flag("should_retry", None),
            after_chunks=(table.count("after_chunks", 1) or 0) if kind == "stream_error" else 1,
        )
    elif kind == "drop_mid_stream":
        fault = Fault(kind, fault.times, delay_s=fault.delay_s, after_chunks=table.count("after_chunks", 1) or 0)
    table.done()
    return fault
