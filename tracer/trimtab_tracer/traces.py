"""What an OpenTelemetry trace that several calls share says about them.

In: a graph of calls, each with the trace that was current when it was sent. Out: whether a trace is one run's, and for
a call that nothing surer ties which call of its trace it follows. Apart from :mod:`.rebuild` because a trace is not a
link between two calls: what it says depends on all calls that share it.

A span around a task, also one that another service's request carried here, is one trace for all that the task does;
a span around a worker's whole life is one for all of its tasks. The first is evidence, the second is none. Which it is
follows from the calls alone (:meth:`Traces.is_one_run`); where that can't be told, the trace says nothing. A trace of
a single call says nothing either: instrumentors begin one for each request that is sent outside of any span.

A trace that too many calls share is noted as wide, and its calls forget it. What is forgotten can't come back, so this
does not depend on the order in which calls become known only because no call ever leaves a trace: it is in that of its
first attempt from when that one is known, and in none before, whatever its other attempts say. The calls of a trace
therefore only become more, and it is wide in the end exactly if it has too many in the end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from .call_graph import Call, Graph
from .link_rules import is_linked, linked_children, may_follow, waits

MAX_CALLS: Final = 64
"""A trace that more calls share is a worker's: it says nothing about them. Also what one more call costs at most."""


class Traces:
    """The traces of the calls that a change touches."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._mates: dict[tuple[str, str], list[Call]] = {}
        self._is_one_run: dict[tuple[str, str], bool] = {}

    def heed(self, touched: Collection[str]) -> set[str]:
        """Fetch the calls that share a trace with any of these, and leave out traces that too many share.

        Returns:
            Ids of the calls whose place may be otherwise for it.
        """
        graph = self._graph
        shared = sorted({t for i in touched if (t := graph.calls[i].trace_id)})
        if not shared:
            return set()
        wide = graph.wide(shared)
        graph.fetch("trace_id", [trace_id for trace_id in shared if trace_id not in wide])
        concerned: set[str] = set()
        for trace_id in shared:
            calls = graph.here("trace_id", trace_id)
            concerned |= {call.call_id for call in calls}
            if trace_id in wide or len(calls) > MAX_CALLS:
                graph.widened |= {trace_id} - wide
                for call in calls:
                    graph.change(call, "trace_id", None)
        return concerned

    def mates(self, call: Call) -> list[Call]:
        """The calls of a call's trace that may belong together with it, itself among them, in their order."""
        if not call.trace_id:
            return []
        key = call.trace_id, call.pool
        if key not in self._mates:
            calls = [c for c in self._graph.find("trace_id", [call.trace_id]) if c.pool == call.pool]
            self._mates[key] = sorted(calls, key=lambda c: c.position)
        return self._mates[key]

    def changed(self, calls: Iterable[Call]) -> list[Call]:
        """The links of these calls are others now: all calls that share a trace with any of them."""
        found: list[Call] = []
        for trace in {(call.trace_id, call.pool): call for call in calls}.values():
            self._is_one_run.pop((trace.trace_id or "", trace.pool), None)
            found += self.mates(trace)
        return found

    def is_one_run(self, call: Call) -> bool:
        """Whether what shares a call's trace is one run's: more than this call, and at most one conversation that
        links make, but for those that came and went while it was waiting."""
        mates = self.mates(call)
        if len(mates) < 2:
            return False
        key = call.trace_id or "", call.pool
        if key not in self._is_one_run:
            self._is_one_run[key] = self._holds_one(mates)
        return self._is_one_run[key]

    def _holds_one(self, mates: list[Call]) -> bool:
        """Whether at most one conversation is no other one's doing: all others lie between two turns of it."""
        graph = self._graph
        firsts: dict[str, Call] = {}
        turns: dict[str, Call] = {}  # by a conversation's first call: the outer one's last turn before it
        outer: list[Call] = []
        for call in mates:
            first = firsts.get(call.parent or "") if is_linked(call) else None
            firsts[call.call_id] = first = first or call
            if not (is_linked(call) or linked_children(graph, call)):
                continue
            if not outer or first is outer[0]:
                outer.append(call)
            elif turns.setdefault(first.call_id, outer[-1]) is not outer[-1] or not waits(graph, outer[-1], first):
                return False
        return True

    def divide(self, earlier: Call, later: Call) -> bool:
        """Whether two calls are of two traces that are one run's each."""
        return earlier.trace_id != later.trace_id and self.is_one_run(earlier) and self.is_one_run(later)

    def before(self, call: Call) -> Call | None:
        """The last call of the trace that had ended when this one began, if the trace is one run's."""
        if not self.is_one_run(call):
            return None
        earlier = [c for c in self.mates(call) if may_follow(c, call) and c.ended_ns <= call.started_ns]
        return earlier[-1] if earlier else None

    def around(self, root: Call) -> str | None:
        """The conversation that began first among those of the trace, if it is another one and the trace one run's."""
        if not self.is_one_run(root):
            return None
        graph = self._graph
        roots = {c.conversation_id for c in self.mates(root) if c.conversation_id}
        first = min((found for i in roots if (found := graph.get(i)) is not None), key=lambda c: c.position)
        return first.call_id if first.position < root.position else None
