"""Makes every function of ours that runs during an agent's work raise, one after the other, and compares the work.

Prints JSON lines: one for each function, with what came of the work while it raised. The work of the first line was
done without tracing. Arguments: this process's share of the functions, as ``<number> <of how many>``.
"""

import asyncio
import contextvars
import inspect
import json
import mmap
import os
import sys
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import CodeType, FrameType

import aiohttp
import anthropic
import httpx
import openai
from lm15.transports import StdlibAsyncTransport, StdlibTransport, TransportError, TransportRequest

import trimtab
import trimtab_tracer
from trimtab_tracer import verifiers
from trimtab_tracer.evaluators import Evaluators
from trimtab_tracer.instrument.process_exit import ProcessExit
from trimtab_tracer.instrument.switch import Switch
from trimtab_tracer.tracer import Tracer

FOLDERS = tuple(os.path.dirname(module.__file__) + os.sep for module in (trimtab, trimtab_tracer))
MESSAGES = [{"role": "user", "content": "Hello"}]
CHAT = {"model": "gpt-5-mini", "messages": MESSAGES}
STREAM = {"stream": True}
Parts = tuple[Callable[[], object], ...]
URL = os.environ["ANTHROPIC_BASE_URL"]
UNDONE: list[object] = []
"""What was undone, with what it was undone with."""
PATIENCE = aiohttp.ClientTimeout(total=20)
"""Where what stands for a reader's own end raises, the end never comes, and the library's limit is five minutes."""
FLUSH_S = 2.0
HELD_UP: list[bool] = []
"""Whether flushes took all the time that they may take: nobody came to do what they waited for."""


class BoomError(Exception):
    """Raised where ours would never."""


@trimtab.tool
def double(number: int) -> int:
    """A tool that works."""
    return number * 2


@trimtab.tool
async def halve(number: int) -> int:
    """A tool that is awaited."""
    return number // 2


@trimtab.tool
def fail(number: int) -> int:
    """A tool that fails."""
    raise KeyError(number)


@trimtab.tool(compensate=lambda booked, number: UNDONE.append((booked, number)))
def book(number: int) -> str:
    """A tool that changes the world, and can be undone."""
    return f"booking {number}"


@trimtab.evaluator(timeout_s=1)
def judge(run: object) -> bool:
    """Asked about every run that ends."""
    return run.error_type is None


def chat(**options: object) -> openai.OpenAI:
    """A client; checking certificates of a provider without any would take most of the time."""
    return openai.OpenAI(http_client=openai.DefaultHttpxClient(verify=False), **options)


def achat(**options: object) -> openai.AsyncOpenAI:
    """The same, to be awaited."""
    return openai.AsyncOpenAI(http_client=openai.DefaultAsyncHttpxClient(verify=False), **options)


def plain() -> object:
    """A call inside a run, with everything the door offers."""
    with trimtab.run("walk", task="one", colour="blue") as run, chat() as client:
        top = trimtab.knob("top", 5, choices=[3, 5])
        answer = client.chat.completions.create(**CHAT).choices[0].message.content
        trimtab.outcome(True, score=0.5)
        run.outcome(comment="well")
        return answer, top, double(4)


def streamed() -> object:
    """A stream, read to its end; a chunk without choices is what a failure of ours to strip it may leave."""
    with chat() as client:
        chunks = list(client.chat.completions.create(**CHAT, stream=True))
        return [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]


async def astreamed(client: openai.AsyncOpenAI) -> object:
    """The same, awaited."""
    chunks = [chunk async for chunk in await client.chat.completions.create(**CHAT, stream=True)]
    return [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]


def not_understood() -> object:
    """A stream that is refused, whatever it asks for, and one that somebody read before it was handed out."""
    http = httpx.Client(verify=False, event_hooks={"response": [lambda response: response.read()]})
    with http, http.stream("POST", URL + "/v1/chat/completions", json={**CHAT, "stream": True}) as response:
        read = response.text.count("Hello")
    with chat(max_retries=0) as client:
        return read, client.chat.completions.create(model="strange", messages=MESSAGES, stream=True)


def left() -> object:
    """A stream, left early."""
    with chat() as client, client.chat.completions.create(**CHAT, stream=True) as chunks:
        return next(iter(chunks)).choices[0].index


def cut() -> object:
    """A stream that breaks."""
    with chat() as client:
        return list(client.chat.completions.create(model="breaks", messages=MESSAGES, stream=True))


def refused() -> object:
    """A call that is refused, and tried again, and refused."""
    with chat(max_retries=1) as client:
        return client.chat.completions.create(model="refuses", messages=MESSAGES)


def refused_without_sdk() -> object:
    """One that the agent sends by itself, and one that is answered."""
    with httpx.Client(verify=False) as client:
        models = ("refuses", "gpt-5-mini")
        asked = [client.post(URL + "/v1/chat/completions", json={"model": m, "messages": MESSAGES}) for m in models]
        return [(answer.status_code, len(answer.json())) for answer in asked]


def kept() -> object:
    """A conversation that the provider keeps."""
    with chat() as client:
        first = client.responses.create(model="gpt-5-mini", input="Hello")
        return client.responses.create(model="gpt-5-mini", input="And?", previous_response_id=first.id).output_text


def unreachable() -> object:
    """A call to where nobody listens."""
    with chat(base_url="http://127.0.0.1:9/v1", max_retries=0) as client:
        return client.chat.completions.create(**CHAT)


def broken_tool() -> object:
    """An exception of the user's own, through a run."""
    with trimtab.run("fails"):
        return fail(3)


def undone() -> object:
    """A run that fails, and undoes what its tool did."""
    UNDONE.clear()
    try:
        with trimtab.run("books", compensate=True), chat(max_retries=0) as client:
            book(7)
            client.chat.completions.create(model="strange", messages=MESSAGES)
    except openai.BadRequestError:
        return list(UNDONE)


async def ask(client: anthropic.AsyncAnthropic) -> object:
    """Await an answer."""
    return (await client.messages.create(model="m", max_tokens=9, messages=MESSAGES)).content[0].text


async def listen(client: anthropic.AsyncAnthropic) -> object:
    """Await a stream."""
    async with client.messages.stream(model="m", max_tokens=9, messages=MESSAGES) as events:
        return [text async for text in events.text_stream]


async def leave(client: openai.AsyncOpenAI) -> object:
    """Leave a stream early."""
    async with await client.chat.completions.create(**CHAT, stream=True) as chunks:
        async for chunk in chunks:
            return chunk.choices[0].index


async def be_refused(client: openai.AsyncOpenAI) -> object:
    """Await an exception."""
    try:
        return await client.chat.completions.create(model="refuses", messages=MESSAGES)
    except openai.APIError as error:
        return type(error).__name__


@trimtab.run("serve")
async def everything() -> object:
    """Calls and streams side by side, in tasks and in a thread."""
    http = anthropic.DefaultAsyncHttpxClient(verify=False)
    async with achat(max_retries=0) as one, anthropic.AsyncAnthropic(http_client=http) as other:
        return await asyncio.gather(
            ask(other),
            listen(other),
            leave(one),
            astreamed(one),
            be_refused(one),
            asyncio.to_thread(double, 21),
            halve(42),
        )


def awaited() -> object:
    """Everything that is awaited."""
    return asyncio.run(everything())


def pooled() -> object:
    """Calls in threads."""
    with chat() as client, ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(client.chat.completions.create, **CHAT) for _ in range(2)]
        return [one.result().choices[0].message.content for one in asked]


async def post(session: aiohttp.ClientSession, model: str, **options: object) -> object:
    """One request of aiohttp, and its answer as it is read in one way or another."""
    body = {"model": model, "messages": MESSAGES, **options}
    async with session.post(URL + "/v1/chat/completions", json=body) as response:
        if model == "refuses":
            response.raise_for_status()
        if not options:
            return (await response.json())["choices"]
        first = await response.content.readline()
        rest = b"" if model == "left" else await response.content.read()
        return first.count(b"choices"), rest.count(b"choices")


async def all_over_aiohttp() -> object:
    """Calls over aiohttp: whole, streamed, left, cut, refused, unreachable."""
    results = []
    async with aiohttp.ClientSession(timeout=PATIENCE) as session:
        for model, options in (("m", {}), ("m", STREAM), ("left", STREAM), ("breaks", STREAM), ("refuses", {})):
            try:
                results.append(await post(session, model, **options))
            except aiohttp.ClientError as error:
                results.append(type(error).__name__)
        try:
            await session.post("http://127.0.0.1:9/v1/chat/completions", json=CHAT)
        except aiohttp.ClientError as error:
            results.append(type(error).__name__)
    return results


def over_aiohttp() -> object:
    """The same, run."""
    return asyncio.run(all_over_aiohttp())


def sent(model: str, url: str = URL, **options: object) -> TransportRequest:
    """A request of lm15."""
    body = json.dumps({"model": model, "messages": MESSAGES, **options}).encode()
    return TransportRequest("POST", url + "/v1/chat/completions", [("Content-Type", "application/json")], body)


async def awaited_over_lm15() -> object:
    """A stream over lm15, one that is left and one that breaks, awaited."""
    async with StdlibAsyncTransport(trust_env=False) as transport:
        async with transport.stream(sent("m", **STREAM)) as response:
            read = (await response.read()).count(b"choices")
        async with transport.stream(sent("m", **STREAM)) as response:
            async for _ in response:
                break
        try:
            async with transport.stream(sent("breaks", **STREAM)) as response:
                await response.read()
        except TransportError as error:
            return read, type(error).__name__
        return read


def over_lm15() -> object:
    """Calls over lm15: whole, streamed, left, cut, unreachable."""
    results = []
    with StdlibTransport(trust_env=False) as transport:
        for request in (sent("m"), sent("m", **STREAM), sent("breaks", **STREAM), sent("m", "http://127.0.0.1:9")):
            try:
                with transport.stream(request) as response:
                    results.append(response.read().count(b"choices"))
            except TransportError as error:
                results.append(type(error).__name__)
        with transport.stream(sent("m", **STREAM)) as response:
            results.append(next(iter(response)).count(b"nothing"))
    return results, asyncio.run(awaited_over_lm15())


def other_http() -> object:
    """Requests that are no LLM calls."""
    with httpx.Client(verify=False) as client:
        return client.get(URL + "/v1/models").status_code, client.get(URL + "/nothing").status_code


def other_unreachable() -> object:
    """One that fails."""
    with httpx.Client(verify=False) as client:
        return client.get("http://127.0.0.1:9/nothing").status_code


@verifiers.register
def is_answer(answer: verifiers.Answer) -> bool:
    """The agent's own check of a cheaper model's answer."""
    return "Hello" in answer.text


def detoured() -> object:
    """Calls that are asked otherwise at first: by a cheaper model, elsewhere, with parameters that are refused."""
    with trimtab.run("detours", tier="gold"), chat(max_retries=0) as client:
        asked = [
            client.chat.completions.create(model=model, messages=MESSAGES, temperature=1)
            for model in ("picky", "cheaply", "badly", "elsewhere", "nowhere")
        ]
        return [answer.choices[0].message.content for answer in asked]


async def adetoured() -> object:
    """The same, awaited."""
    async with achat(max_retries=0) as client:
        asked = [
            await client.chat.completions.create(model=model, messages=MESSAGES, temperature=1)
            for model in ("picky", "cheaply", "badly", "nowhere")
        ]
        return [answer.choices[0].message.content for answer in asked]


def awaited_detours() -> object:
    """Those that are awaited."""
    return asyncio.run(adetoured())


def forked() -> object:
    """A call in a forked child."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(7 if chat().chat.completions.create(**CHAT).choices[0].message.content else 1)
        finally:
            os._exit(8)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def flushed() -> object:
    """What is asked of us directly."""
    started = time.monotonic()
    try:
        return trimtab.flush(FLUSH_S)
    finally:
        HELD_UP.append(time.monotonic() - started >= FLUSH_S)


def stopped() -> object:
    """The end."""
    return trimtab.uninstrument()


WORK = (
    plain,
    streamed,
    left,
    cut,
    refused,
    refused_without_sdk,
    kept,
    unreachable,
    broken_tool,
    undone,
    not_understood,
    awaited,
    pooled,
    over_aiohttp,
    over_lm15,
    other_http,
    other_unreachable,
    detoured,
    awaited_detours,
    forked,
    flushed,
    stopped,
)


IN_BRIEF = (plain, streamed, flushed, stopped)
"""Parts that are enough for what runs in our own thread alone, where it can't meet the agent's work."""

OVER_OTHERS = {over_aiohttp, over_lm15}
"""Parts that come to the same functions as the others do, by hooks of their own."""

Evaluators.IDLE_S = 0.01  # its thread begins anew each time, where it can be followed

NEAR_HOOKS = ("aiohttp_client.py", "lm15.py", "exchanges.py", "calls.py", "capture.py", "context.py")
"""Files whose functions those hooks call themselves; what lies deeper is reached through these, and by other parts."""

IN_CHILDREN = (ProcessExit._in_child, Switch._forked, Tracer.child)
"""Functions that run in a forked child only, where a profile made here does not reach."""

now: Callable[[], object] = stopped
"""The part that is being done."""


def work(parts: Parts = WORK, before: Callable[[], None] = lambda: None) -> list[str]:
    """Do everything; what each part gave or raised."""
    global now
    results = []
    for now in parts:
        before()
        try:
            result = repr(now())
        except Exception as error:
            result = f"{type(error).__module__}.{type(error).__qualname__}: {error}"
        finally:
            sys.settrace(None)
        results.append(f"{now.__name__}: {result}")
    return results


def functions_of_ours() -> dict[str, tuple[CodeType, Parts]]:
    """Code of every function of ours that is called during the work, and the parts that call it, by name.

    What raises inside a comprehension raises in the function around it, so those are left out.
    """
    called: dict[CodeType, set[Callable[[], object]]] = {}
    working = False

    def note(frame: FrameType, event: str, _: object) -> None:
        if working and event == "call" and frame.f_code.co_filename.startswith(FOLDERS):
            in_writer = threading.current_thread().name.startswith("trimtab-")
            called.setdefault(frame.f_code, set()).update(IN_BRIEF if in_writer else [now])

    threading.setprofile(note)  # before there is a thread of ours
    trimtab.instrument()
    working = True
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    for function in IN_CHILDREN:
        called.setdefault(inspect.unwrap(function).__code__, {forked})
    return {
        f"{os.path.basename(code.co_filename)}:{code.co_qualname}": (code, parts)
        for code in sorted(called, key=lambda code: (code.co_filename, code.co_firstlineno))
        for parts in [tuple(part for part in WORK if part in parts_for(code, called[code]) or part is stopped)]
        if not code.co_name.endswith(("comp>", "genexpr>", "<module>"))
    }


def parts_for(code: CodeType, calling: set[Callable[[], object]]) -> set[Callable[[], object]]:
    """Those of the parts that call ``code`` in which it is to raise."""
    is_near = os.path.basename(code.co_filename) in NEAR_HOOKS
    return calling if is_near or calling <= OVER_OTHERS else calling - OVER_OTHERS


def publish() -> None:
    """A policy that changes how everything is asked, and nothing of what comes of it."""
    quick = {"initial_s": 0.001, "factor": 1, "max_s": 0.001, "jitter": 0}
    fallback = {"on": ["rate_limit"], "models": ["refuses-too"]}
    knobs = {"max_tokens": 8, "max_retries": {"other": 1}, "backoff": quick, "fallback": fallback}
    knobs |= {"timeout_s": {"total": 300, "first_token": 200}, "hedge_delay_s": 100, "max_concurrency": 1000}
    knobs |= {"retry_budget": {"capacity": 9000, "retry_cost": 1, "timeout_cost": 1, "refill": 1}}
    knobs |= {"circuit_breaker": {"failures": 100, "window_s": 600, "open_s": 0.1}}
    rules = [{"knob": knob, "value": value, "match": {}} for knob, value in knobs.items()]
    rules += [{"knob": "model", "value": "gpt-5-nano", "match": {"model": "gpt-5-mini"}}]
    rules += [{"knob": "top", "value": 5, "match": {}}]
    rules += [{"knob": "top", "value": 5, "match": {}, "when": {"min_step": 0, "max_tokens": 10**9}}]
    rules += [{"knob": "max_tokens", "value": 9, "match": {"name": "detours", "context": {"tier": "gold"}}}]
    rules += [{"knob": "temperature", "value": 0.5, "match": {}}, {"knob": "prompt_cache", "value": "5m", "match": {}}]
    for model, check in (("cheaply", "is_answer"), ("badly", "json")):
        first = {"model": "gpt-5-pico", "verify": ["nonempty", check]}
        rules += [{"knob": "escalate", "value": first, "match": {"model": model}}]
    for name in ("elsewhere", "nowhere"):
        rules += [{"knob": "endpoint", "value": name, "match": {"model": name}}]
    places = {"elsewhere": URL, "nowhere": "http://127.0.0.1:9"}
    lines = [f'[endpoints.{name}]\nbase_url = "{url}/v1"\n' for name, url in places.items()]
    (Path(os.environ["TRIMTAB_HOME"]) / "trimtab.toml").write_text("".join(lines))
    document = {
        "schema": 1,
        "version": 1,
        "issued_ns": time.time_ns(),
        "lifetime_s": 86400,
        "frozen": False,
        "rules": [{"rule_id": f"rule-{i}", "sticky": "run", "source": "human", **rule} for i, rule in enumerate(rules)],
    }
    file = Path(os.environ["TRIMTAB_HOME"]) / "policy.json"
    file.write_text(json.dumps(document))
    file.chmod(0o600)


def work_while_raising(target: CodeType, parts: Parts) -> tuple[list[str], bool]:
    """The work with ``target`` raising at its start, in every thread; and whether it did."""
    fired = mmap.mmap(-1, 1)  # shared with children
    working = False

    def trace(frame: FrameType, event: str, _: object) -> None:
        if working and event == "call" and frame.f_code is target:
            fired[0] = 1
            raise BoomError(target.co_qualname)

    # A trace function that raises is taken out of its thread: it is put back before each part.
    threading.settrace(trace)
    trimtab.instrument()
    working = True
    try:
        # In a context of its own, so that what one function breaks is not met by the next one.
        results = contextvars.copy_context().run(work, parts, lambda: sys.settrace(trace))
    finally:
        working = False
        threading.settrace(None)  # type: ignore[arg-type]
    trimtab.uninstrument()
    return results, bool(fired[0])


if __name__ == "__main__":
    share, shares = map(int, sys.argv[1:3])
    expected = work()
    print(json.dumps({"function": None, "results": expected}))
    publish()
    functions_of_ours()  # what is imported late is imported now
    functions = functions_of_ours()
    if only := sys.argv[3:]:
        functions = {name: found for name, found in functions.items() if name.partition(":")[0] in only}
    for name, (code, parts) in functions.items():
        if zlib.crc32(name.encode()) % shares != share:  # by name: which functions run differs between processes
            continue
        HELD_UP.clear()
        results, fired = work_while_raising(code, parts)
        if not fired:  # the writer's thread was at another part than the agent
            results, fired = work_while_raising(code, WORK)
        told = {"function": name, "results": results, "fired": fired, "held_up": any(HELD_UP)}
        print(json.dumps(told), flush=True)
