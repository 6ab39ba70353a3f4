"""Plays cases without trimtab, with it, and without it again, in one process; prints what came of them as JSON lines.

A few are then played in arms that must differ: with each of the broken hooks of :mod:`sabotage`, and under a policy
that is in force. Arguments: this process's share of the cases, as ``<number> <of how many>``; or one case to look at,
as ``--case <number>`` for one that covers, and ``--values <JSON>`` for any, as a failure shows it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anthropic._base_client
import faults
import http_ways
import openai._base_client
import sdk_ways
import uvloop
from cases import COUNT, COVERING, HTTP_APIS, SEED, Case, generate
from clients import build, with_options
from differing import differences
from drawing import Failure, cases, smallest_failure
from either import close, drive
from policies import INACTIVE, Inactive, document, publish
from sabotage import SABOTAGES
from seeing import comparable, entry_seen, error_seen
from wire import Wire

import trimtab
import trimtab_tracer
from trimtab_tracer.instrument.switch import switch
from trimtab_tracer.receiver import Receiver
from trimtab_tracer.settings import Settings
from trimtab_tuner.provider import Provider, Scenario

TRIES = 200
"""Cases that are drawn to find a broken hook by."""
CONTROLS = 20
"""Cases that are played with broken hooks."""
LATE_S = 0.0005
"""By which everything of ours is late in one arm."""
WAIT_S = 30.0
"""For entries of requests that a client hung up on."""


def scenario(case: Case) -> Scenario:
    """What the provider answers: each model of a case has its own rule."""
    embeds = {"api": "openai.embeddings"} if case.api == "openai.embeddings" else {}
    rules = [{**embeds, "model": model, **faults.rule(case.fault, case.answer, case.is_left)} for model in models(case)]
    if case.way == "tools":
        after = {"text": "It says: {last_tool_result}"}
        rules = [{**rules[0], "step": 0}, after]
    return Scenario.from_dict({"rules": rules, "gzip": case.gzip, "seed": 5})


def models(case: Case) -> list[str]:
    """The models that a case asks, one for each call at once."""
    return [f"gpt-{number}" for number in range(case.at_once)]


async def outcome(case: Case, client: Any, model: str) -> dict[str, Any]:
    """What came of one call."""
    parts: list[Any] = []
    way = (http_ways if case.api in HTTP_APIS else sdk_ways).WAYS[case.way]
    try:
        result = {"result": await way(client, case, model, parts)}
    except BaseException as error:
        result = {"error": error_seen(error)}
    return {"parts": parts, **result}


def play(case: Case, client: Any) -> list[dict[str, Any]]:
    """All calls of a case, in threads or tasks where there are several."""
    called = with_options(case, client)
    if case.is_async:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop if case.uses_uvloop else None) as runner:
            return runner.run(_play_async(case, client, called))
    try:
        if case.at_once == 1:
            return [drive(outcome(case, called, models(case)[0]))]
        with ThreadPoolExecutor(case.at_once) as pool:
            return list(pool.map(lambda model: drive(outcome(case, called, model)), models(case)))
    finally:
        client.close()


async def _play_async(case: Case, client: Any, called: Any) -> list[dict[str, Any]]:
    try:
        return list(await asyncio.gather(*(outcome(case, called, model) for model in models(case))))
    finally:
        await close(client)


@contextmanager
def traced(policy: Inactive, homes: Path, handed: list[int] | None = None) -> Iterator[None]:
    """trimtab turned on, in a home of its own that holds ``policy``; with ``handed``, to which the number of attempts
    that came there is added, beside a sidecar."""
    home = Path(tempfile.mkdtemp(dir=homes))
    publish(home, policy)
    receiver = Receiver.open(Settings(home=home)) if handed is not None else None
    if receiver is not None:
        receiver.start()
    trimtab.instrument(home=home, service="differential", harness="1", steering=policy.steering)
    tracer = switch.active()
    if receiver is not None and tracer is not None:
        tracer.writer._look_for_sidecar()  # not only when there is work: each call is to be handed over by itself
    try:
        yield
    finally:
        trimtab.uninstrument()
        if receiver is not None and handed is not None:
            receiver.stop()
            handed.append(receiver.attempts)


def arm(case: Case, around: Any) -> dict[str, Any]:
    """A case, played once within the context manager that ``around`` makes; None for nothing around it."""
    wire = Wire(case.client == "slicing")
    with Provider(scenario(case)) as provider:
        client = build(case, provider.url, wire) if case.is_built_before else None
        with ExitStack() as stack:
            if around is not None:
                stack.enter_context(around())
            client = client if client is not None else build(case, provider.url, wire)
            if case.in_run:
                stack.enter_context(trimtab.run("differential", task=case.way))
            outcomes = play(case, client)
        log = provider.log.wait_for(wire.sent, WAIT_S)
    entries = [entry_seen(entry, case) for entry in log]
    if case.at_once > 1:
        entries.sort(key=lambda entry: (entry["model"], entry["n"]))
    return comparable({"outcomes": outcomes, "requests": entries, "sent": wire.sent}, case.at_once > 1)


class Heard(logging.Handler):
    """Keeps what trimtab warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    @contextmanager
    def listening(self) -> Iterator[None]:
        log = logging.getLogger("trimtab")
        log.addHandler(self)
        try:
            yield
        finally:
            log.removeHandler(self)


@contextmanager
def late(homes: Path) -> Iterator[None]:
    """The hooks as they are, but every function of ours takes its time, in all threads."""
    ours = tuple(os.path.dirname(module.__file__ or "") + os.sep for module in (trimtab, trimtab_tracer))

    def wait(frame: Any, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(ours):
            time.sleep(LATE_S)

    with traced(INACTIVE["absent"], homes):
        threading.setprofile(wait)
        sys.setprofile(wait)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]


def compare(name: str, case: Case, homes: Path) -> dict[str, Any]:
    """One case without trimtab, with it (every second one beside a sidecar), and without it again."""
    bare, heard = arm(case, None), Heard()
    handed: list[int] | None = [] if sum(name.encode()) % 2 else None
    with heard.listening():
        with_us = arm(case, lambda: traced(INACTIVE[case.policy], homes, handed))
    wording = INACTIVE[case.policy].wording
    told = {"said": heard.lines, "wording": wording, "handed": handed, "bare": bare}
    again = {"changed": differences(bare, with_us), "repeated": differences(bare, arm(case, None))}
    return {"case": name, "values": asdict(case), **told, **again}


def broken_arm(case: Case, around: Any) -> dict[str, Any]:
    """A case with a broken hook, which may lose requests, so that the log waits for them in vain."""
    try:
        return arm(case, around)
    except TimeoutError as error:
        return {"lost": str(error)}


def control(name: str, case: Case, homes: Path) -> dict[str, Any]:
    """One case without trimtab, with hooks that are broken, with a slow trimtab, and with a policy in force."""
    in_force = Inactive(json.dumps(document()).encode())
    arms = {what: broken_arm(case, around) for what, around in SABOTAGES.items()}
    steered = arm(case, lambda: traced(in_force, homes))
    slow = arm(case, lambda: late(homes))
    bare = arm(case, None)
    return {
        "case": name,
        "values": asdict(case),
        "broken": {what: differences(bare, broken) for what, broken in arms.items()},
        "late": differences(bare, slow),
        "steered": differences(bare, steered),
    }


def draw(share: int, shares: int, homes: Path) -> None:
    """Play this process's part of the cases that Hypothesis draws; prints those that pass, and the smallest that does
    not."""

    def examine(case: Case) -> list[str]:
        line = compare(f"drawn {case}", case, homes)
        found: list[str] = line["changed"] + line["repeated"]
        if not found:
            show(line)
        return found

    count = len(range(share, COUNT - COVERING, shares))
    mine = cases().filter(lambda case: zlib.crc32(str(case).encode()) % shares == share)
    if (failure := smallest_failure(mine, count, SEED, examine)) is not None:
        show({"smallest": shown(failure)})


def shown(failure: Failure) -> dict[str, Any]:
    """A failure, with the arguments that play it again."""
    return {"again": ["--values", json.dumps(asdict(failure.case))], "differences": failure.differences}


def shrink() -> None:
    """Print the smallest case that a hook that asks once more is found by."""

    def examine(case: Case) -> list[str]:
        if case.is_late or case.is_left or case.at_once > 1:
            return []  # takes longer, and shows nothing more
        return differences(arm(case, None), broken_arm(case, SABOTAGES["repeat"]))

    failure = smallest_failure(cases(), TRIES, SEED, examine)
    show({"shrunk": None if failure is None else asdict(failure.case)})


def controls(cases: list[tuple[str, Case]]) -> list[tuple[str, Case]]:
    """Cases for :func:`control`: those that need not wait, and reach a model."""
    able = [(name, case) for name, case in cases if case.hook != "request raises" and case.way != "listing"]
    return [(name, case) for name, case in able if not (case.is_left or case.is_late)][:CONTROLS]


def main() -> None:
    """Play what the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("share", nargs="*", type=int, default=[0, 1])
    parser.add_argument("--case", type=int)
    parser.add_argument("--values", type=json.loads)
    options = parser.parse_args()
    for sdk in (openai, anthropic):  # alike in all arms: retries that nobody asked to delay come at once
        sdk._base_client.INITIAL_RETRY_DELAY = 0.001
    covering = list(generate().items())
    number, shares = options.share
    share = slice(number, None, shares)
    with tempfile.TemporaryDirectory() as folder:
        homes = Path(folder)
        if options.values is not None:
            show(compare("as asked", Case(**options.values), homes))
        elif options.case is not None:
            show(compare(*covering[options.case], homes))
        else:
            for name, case in covering[share]:
                show(compare(name, case, homes))
            for name, case in controls(covering)[share]:
                show(control(name, case, homes))
            draw(number, shares, homes)
            if number == 0:
                shrink()


def show(line: dict[str, Any]) -> None:
    """Print a JSON line."""
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
