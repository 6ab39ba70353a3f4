"""Which observed tool execution answers which tool call that a model asked for.

In: the requests and the executions of one tool name in one run. Out: pairs. They meet by the id that the model gave
the request where the framework hands it to the tool, else by arguments and time. Apart from :mod:`.ingest` because it
is the one step of ingestion that is an algorithm, not a join. The result depends only on the sets, not on the order
they came in.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple


class Requested(NamedTuple):
    """A tool call in a response."""

    tool_id: str
    position: tuple[int, str, int]
    """Start of the request that asked, its call id, index in the response: newer ones are greater. No execution is
    earlier than that start, though one may begin before the response's stream has ended."""
    args_digest: str | None
    answered_ns: int | None
    """Start of the request that carried the result: no execution is later."""
    provider_id: str | None = None
    """As the provider named it; providers may use an id again."""


class Executed(NamedTuple):
    """A tool execution that was seen."""

    tool_run_id: str
    started_ns: int
    args_digest: str | None
    provider_id: str | None = None
    """Of the tool call that it answers, where it is known."""


LOOK_BACK = 256
"""Requests that one execution is compared with at most, the newest first; bounds the work in very long runs."""


def pair(requests: Iterable[Requested], runs: Iterable[Executed]) -> dict[str, str]:
    """``{tool_run_id: tool_id}``, each id at most once.

    Beginning with the newest, an execution belongs to the newest request that had no answer when it began and has its
    id, else to the newest such request that asked for the same arguments: so the last of several repetitions by the
    harness stands for the request. Executions whose arguments no request has (a framework fills in defaults, or none
    were recorded) then take what is left over in the same way; those whose id or arguments are known but whose requests
    are all taken stay alone.
    """
    left = sorted(requests, key=lambda request: request.position)
    waiting = sorted(runs, key=lambda run: (run.started_ns, run.tool_run_id), reverse=True)
    known = {request.provider_id for request in left} - {None}
    pairs = _by_id(left, [run for run in waiting if run.provider_id in known])
    taken = set(pairs.values())
    waiting = [run for run in waiting if run.provider_id not in known]
    by_args: dict[str | None, list[Requested]] = {}
    for request in left:
        same = by_args.setdefault(request.args_digest, [])
        if request.tool_id not in taken:
            same.append(request)
    loose = []
    for run in waiting:
        if run.args_digest is None or run.args_digest not in by_args:
            loose.append(run)
        elif (found := _take(by_args[run.args_digest], run)) is not None:
            pairs[run.tool_run_id] = found
    if loose:
        taken |= set(pairs.values())
        left = [request for request in left if request.tool_id not in taken]
        for run in loose:
            if (found := _take(left, run)) is not None:
                pairs[run.tool_run_id] = found
    return pairs


def _by_id(requests: list[Requested], runs: list[Executed]) -> dict[str, str]:
    """The pairs of requests and executions that share an id; each of ``runs`` has one that some request has."""
    by_id: dict[str | None, list[Requested]] = {}
    for request in requests:
        by_id.setdefault(request.provider_id, []).append(request)
    found = {run.tool_run_id: _take(by_id[run.provider_id], run) for run in runs}
    return {run: tool for run, tool in found.items() if tool is not None}


def _take(waiting: list[Requested], run: Executed) -> str | None:
    """Remove the newest request that ``run`` can answer, and return its id."""
    end = bisect_right(waiting, run.started_ns, key=lambda request: request.position[0])
    for at in range(end - 1, max(-1, end - 1 - LOOK_BACK), -1):
        answered_ns = waiting[at].answered_ns
        if answered_ns is None or run.started_ns <= answered_ns:
            return waiting.pop(at).tool_id
    return None
