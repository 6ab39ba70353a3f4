"""Ways to use the SDKs: what a program calls, and everything that it gets to see.

Each way takes a client of either kind, a :class:`~cases.Case`, a model and a list. What comes in pieces goes into the
list one by one, so that what was there before an exception is compared too; what comes at the end is returned.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import httpx2
from cases import Case
from clients import timeout_of
from either import close, entered, gather_into, got
from seeing import dumped, response_seen

import trimtab

QUESTION = "Is all well with “ä世”?"
TOOL = {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]}
TAKEN = 2
"""Events that are read of a stream that is left."""


def resource(client: Any, api: str) -> Any:
    """The part of the SDK that has ``create``."""
    return {
        "openai.chat": lambda: client.chat.completions,
        "openai.responses": lambda: client.responses,
        "openai.embeddings": lambda: client.embeddings,
        "anthropic.messages": lambda: client.messages,
    }[api]()


def asked(case: Case, model: str) -> dict[str, Any]:
    """The arguments of a call."""
    messages = [{"role": "user", "content": QUESTION}]
    tool = {"name": "look_up", "description": "Looks a key up."}
    extra = {"timeout": timeout_of(case)} if case.given == "call" and case.timeout != "none" else {}
    if case.api == "openai.chat":
        tools = [{"type": "function", "function": {**tool, "parameters": TOOL}}]
        usage = {"stream_options": {"include_usage": True}} if case.streams else {}
        return {"model": model, "messages": messages, "tools": tools, "max_completion_tokens": 900, **usage, **extra}
    if case.api == "openai.responses":
        tools = [{"type": "function", **tool, "parameters": TOOL, "strict": False}]
        return {"model": model, "input": messages, "tools": tools, "max_output_tokens": 900, **extra}
    if case.api == "openai.embeddings":
        return {"model": model, "input": [QUESTION, "b"], **extra}
    tools = [{**tool, "input_schema": TOOL}]
    return {"model": model, "messages": messages, "tools": tools, "max_tokens": 900, **extra}


async def plain(client: Any, case: Case, model: str, parts: list[Any]) -> Any:
    """One answer."""
    top = trimtab.knob("answers", 3, choices=[3, 9])
    answer = await got(resource(client, case.api).create(**asked(case, model)))
    return dumped(answer), answer._request_id if hasattr(answer, "_request_id") else None, top


async def raw_response(client: Any, case: Case, model: str, parts: list[Any]) -> Any:
    """One answer with its headers."""
    raw = await got(resource(client, case.api).with_raw_response.create(**asked(case, model)))
    parts.append(response_seen(raw))
    return dumped(await got(raw.parse()))


async def streaming_response(client: Any, case: Case, model: str, parts: list[Any]) -> Any:
    """One answer that is read by the program itself."""
    opening = resource(client, case.api).with_streaming_response.create(**asked(case, model))
    async with entered(opening) as response:
        parts.append(response_seen(response))
        body = await got(response.read())
        parts.append(response_seen(response))
        return body, dumped(await got(response.parse()))


async def stream(client: Any, case: Case, model: str, parts: list[Any]) -> Any:
    """A stream, read to its end."""
    await _keep(parts, await got(resource(client, case.api).create(**asked(case, model), stream=True)))
    return "end"


async def raw_stream(client: Any, case: Case, model: str, parts: list[Any]) -> Any:
    """A stream with its headers."""
    raw = await got(resource(client, case.api).with_raw_response.create(**asked(case, model), stream=True))
    parts.append(response_seen(raw))
    await _keep(parts, await got(raw.parse()))
    return response_seen(raw)


async def streaming_stream(client: Any, case: Case, model: str, parts: list[Any]) -> Any:
    """A stream that is read line by line, or in the transport's own pieces where these do not depend on the network."""
    opening = resource(client, case.api).with_streaming_response.create(**asked(case, model), stream=True)
    async with entered(opening) as response:
        parts.append(response_seen(response))
        await gather_into(
            parts, response.iter_bytes() if case.client == "slicing" and not case.gzip else response.iter_lines()
        )
        return response_seen(response)


async def helper(client: Any, case: Case, model: str, parts: list[Any]) -> Any:
    """The SDK's own helper around a stream."""
    async with entered(resource(client, case.api).stream(**asked(case, model))) as events:
        await _keep(parts, events)
        final = {"openai.chat": "completion", "openai.responses": "response", "anthropic.messages": "message"}[case.api]
        return dumped(await got(getattr(events, f"get_final_{final}")()))


async def left(client: Any, case: Case, model: str, parts: list[Any]) -> Any:
    """A stream that is closed after its first events."""
    events = await got(resource(client, case.api).create(**asked(case, model), stream=True))
    await _keep(parts, events, TAKEN)
    await close(events)
    return response_seen(events, is_left=True)


async def unread(client: Any, case: Case, model: str, parts: list[Any]) -> Any:
    """A stream that is closed unread."""
    events = await got(resource(client, case.api).create(**asked(case, model), stream=True))
    await close(events)
    return response_seen(events, is_left=True)


async def forget(client: Any, case: Case, model: str, parts: list[Any]) -> Any:
    """A stream that nobody reads or closes."""
    events = await got(resource(client, case.api).create(**asked(case, model), stream=True))
    parts.append(response_seen(events, is_left=True))
    del events
    gc.collect()
    return "forgotten"


async def cancel(client: Any, case: Case, model: str, parts: list[Any]) -> Any:
    """A stream whose task is cancelled when the first events were there."""
    is_going = asyncio.Event()

    async def read() -> None:
        async for event in await resource(client, case.api).create(**asked(case, model), stream=True):
            if len(parts) < TAKEN:
                parts.append(dumped(event))
            if len(parts) == TAKEN:
                is_going.set()

    reading = asyncio.create_task(read())
    going = asyncio.create_task(is_going.wait())
    await asyncio.wait({reading, going}, return_when=asyncio.FIRST_COMPLETED)
    going.cancel()
    reading.cancel()
    await reading


async def tools(client: Any, case: Case, model: str, parts: list[Any]) -> Any:
    """A turn that calls a tool, and the turn that uses its result."""
    call = resource(client, case.api).create
    first = await got(call(**asked(case, model)))
    parts.append(dumped(first))
    arguments = asked(case, model)
    if case.api == "openai.chat":
        message = first.choices[0].message
        results = [
            {"role": "tool", "tool_call_id": t.id, "content": t.function.arguments} for t in message.tool_calls or []
        ]
        arguments["messages"] += [message.model_dump(exclude_none=True), *results]
    elif case.api == "openai.responses":
        calls = [item for item in first.output if item.type == "function_call"]
        arguments["previous_response_id"] = first.id
        arguments["input"] = [
            {"type": "function_call_output", "call_id": c.call_id, "output": c.arguments} for c in calls
        ]
    else:
        used = [block for block in first.content if block.type == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": u.id, "content": str(u.input)} for u in used]
        arguments["messages"] += [
            {"role": "assistant", "content": first.content}, {"role": "user", "content": results or QUESTION},
        ]  # fmt: skip
    return dumped(await got(call(**arguments)))


async def low_level(client: Any, case: Case, model: str, parts: list[Any]) -> Any:
    """The SDK's own ``post``, without a model of the answer."""
    path = {
        "openai.chat": "/chat/completions",
        "openai.responses": "/responses",
        "openai.embeddings": "/embeddings",
        "anthropic.messages": "/v1/messages",
    }[case.api]
    body = {name: value for name, value in asked(case, model).items() if name != "timeout"}
    response = await got(client.post(path, body=body, cast_to=httpx2.Response))
    return response_seen(response), response.text


async def listing(client: Any, case: Case, model: str, parts: list[Any]) -> Any:
    """A request that asks no model."""
    await _keep(parts, await got(client.models.list()))
    return "end"


async def _keep(parts: list[Any], events: Any, limit: int | None = None) -> None:
    seen: list[Any] = []
    try:
        await gather_into(seen, events, limit)
    finally:
        parts += [dumped(event) for event in seen]


WAYS: dict[str, Callable[..., Any]] = {
    "plain": plain,
    "raw response": raw_response,
    "streaming response": streaming_response,
    "stream": stream,
    "raw stream": raw_stream,
    "streaming stream": streaming_stream,
    "helper": helper,
    "break": left,
    "unread": unread,
    "forget": forget,
    "cancel": cancel,
    "tools": tools,
    "low level": low_level,
    "listing": listing,
}
