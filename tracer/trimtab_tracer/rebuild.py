"""Which calls belong together: conversations, and the runs that they make.

In: a graph of calls (:mod:`.call_graph`) and those of them that are new, a few at a time, in any order. Out: the same
calls with what follows from all that is known: the call each one continues and by which rule, its conversation, the
conversation that one is nested in, and its run. No database and no clock.

The rules and why they are so stand in ``docs/decisions/0015-rebuilt-runs.md``. Each is a function of the set of calls,
so the order in which calls become known does not matter, and looks only at a call's neighbours, so one call more costs
the same in a store of any size. A module of its own because it is the one place where calls are put together. What is
not known leaves calls apart: nothing is guessed.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import Final

from .call_graph import Call, Graph
from .link_rules import CONTEXT, RULES, TRACE, UNLINKED, is_linked, linked_children, may_follow, sound_kinds, waits
from .traces import Traces

LOOK_BACK: Final = 8
"""Calls of a context that are looked back upon to choose between equal candidates."""

MAX_DEPTH: Final = 64
"""Steps from a conversation's first call back to the one it may be nested in."""

_RANK: Final = {kind: rank for rank, kind in enumerate(RULES)}


def rebuilt_run_id(top_id: str) -> str:
    """Id of the run that an outermost conversation is."""
    return hashlib.sha256(f"rebuilt run {top_id}".encode()).hexdigest()[:32]


def settle(graph: Graph, touched: Iterable[str]) -> None:
    """Let follow what follows from calls that are new, or of which more is known."""
    _Settling(graph, list(touched)).settle()


class _Settling:
    """One change, from links to runs."""

    def __init__(self, graph: Graph, touched: list[str]) -> None:
        self._graph = graph
        self._traces = Traces(graph)
        self._touched = touched
        self._open: set[str] = set()
        """Calls whose links may say otherwise now."""
        self._shaken: set[str] = set(touched)
        """Calls of whose neighbourhood something changed."""
        self._tops: dict[str, str] = {}
        """Outermost conversation before, of each call that has another one now; empty for a new call."""

    def settle(self) -> None:
        graph, touched = self._graph, self._touched
        self._shaken |= self._around_earlier()
        traced = self._traces.heed(self._shaken)
        graph.links_of(touched)
        offers = {key for i in touched for key in graph.offers(i)}
        graph.meet(offers | {key for i in touched for key in graph.wants(i)})
        self._open = {*touched, *(call.call_id for call in graph.wanting(sorted(offers)))}
        self._open |= {i for i in traced if not graph.calls[i].trace_id}
        news = set(touched)
        for _ in range(LOOK_BACK):  # who looks back upon a call to choose
            news = {call.call_id for call in graph.find("after", news)} - self._open
            if not news:
                break
            self._open |= news
        graph.links_of(sorted(self._open))
        named = {i for c in [*graph.calls.values()] for i in (c.after, c.conversation_id, c.top_id) if i}
        graph.fetch("call_id", named)
        graph.fetch("trace_id", {t for i in self._open if (t := graph.calls[i].trace_id)})
        concerned = {*self._open, *traced, *(call.call_id for call in graph.find("after", sorted(traced)))}
        graph.fetch("parent", concerned)
        self._shaken |= traced
        moved = self._link(graph.calls[i] for i in concerned)
        moved |= {i for i in touched if not graph.calls[i].conversation_id}
        self._gather(moved)
        self._nest()
        self._split()

    def _around_earlier(self) -> set[str]:
        """Calls that others are placed by, where it counts when another one began and that was earlier than known: the
        one that it continues, which waited until then, and all of the conversation that it is the first call of."""
        graph = self._graph
        earlier = [graph.calls[i] for i in sorted(graph.earlier)]
        parents = {before.call_id for call in earlier if (before := graph.get(call.parent)) is not None}
        return parents | {c.call_id for c in graph.find("conversation_id", sorted(graph.earlier))}

    # --- calls that continue each other --------------------------------------------------------------------------

    def _link(self, first: Iterable[Call]) -> set[str]:
        """Find what each call continues, and what depends on that; the calls that continue another one now."""
        graph = self._graph
        waiting = [call.position for call in first]
        heapify(waiting)
        moved: set[str] = set()
        while waiting:
            call = graph.calls[heappop(waiting)[1]]
            before = call.parent, call.rule, call.is_opening
            parent, rule, is_opening = self._continued(call)
            if (parent, rule, is_opening) == before:
                continue
            graph.change(call, "parent", parent)
            call.rule, call.is_opening = rule, is_opening
            moved.add(call.call_id)
            near = [other for i in {before[0], parent} if (other := graph.get(i)) is not None]
            self._shaken |= {other.call_id for other in near}
            later = [*near, *graph.find("after", [call.call_id])]
            if is_linked(call) or before[1] not in (None, *UNLINKED):
                mates = self._traces.changed([call, *near])
                self._shaken |= {mate.call_id for mate in mates}
                later += [*mates, *graph.find("after", [mate.call_id for mate in mates])]
            else:
                later += [mate for mate in self._traces.mates(call) if mate.position > call.position]
            for other in later:
                heappush(waiting, other.position)
        self._shaken |= moved
        return moved

    def _continued(self, call: Call) -> tuple[str | None, str | None, bool]:
        """The call that one continues, by which rule; and whether only unlinked calls lead to it."""
        if call.call_id not in self._open:  # its links are as they were
            if is_linked(call):
                return call.parent, call.rule, False
        elif (linked := self._linked(call)) is not None:
            return linked
        is_alone = not linked_children(self._graph, call)
        before, rule = self._led_to(call)
        if before is not None and is_alone:
            return before.call_id, rule, before.is_opening
        if before is not None and before.is_opening:
            return before.call_id, rule, False
        return None, None, is_alone

    def _led_to(self, call: Call) -> tuple[Call | None, str]:
        """The call that was made before one where it was made, and how that is known."""
        before = self._graph.get(call.after) if not call.is_branch else None
        if (
            before is not None
            and may_follow(before, call)
            and before.process_id == call.process_id
            and not self._traces.divide(before, call)
        ):
            return before, CONTEXT
        return self._traces.before(call), TRACE

    def _linked(self, call: Call) -> tuple[str, str, bool] | None:
        shared: dict[str, set[str]] = defaultdict(set)
        for key in self._graph.wants(call.call_id):
            for other in self._graph.offering(key):
                if may_follow(other, call):
                    shared[other.call_id].add(key[0])
        ranked: dict[tuple[int, int], list[Call]] = defaultdict(list)
        for call_id, kinds in shared.items():
            other = self._graph.calls[call_id]
            if sound := sound_kinds(kinds, other, call):
                ranked[min(_RANK[kind] for kind in sound), -len(sound)].append(other)
        if not ranked:
            return None
        best = min(ranked)
        equals = ranked[best]
        context = self._context(call) if len(equals) > 1 else {}

        def nearness(other: Call) -> tuple[int, bool, bool, int, str]:
            is_beside = not call.trace_id or other.trace_id != call.trace_id
            is_foreign = other.process_id != call.process_id
            return context.get(other.call_id, LOOK_BACK), is_beside, is_foreign, -other.started_ns, other.call_id

        return min(equals, key=nearness).call_id, list(RULES.values())[best[0]], False

    def _context(self, call: Call) -> dict[str, int]:
        """The last calls of a call's context, and how far back each is."""
        found: dict[str, int] = {}
        at = self._graph.get(call.after)
        while at is not None and at.call_id not in found and len(found) < LOOK_BACK:
            found[at.call_id] = len(found)
            at = self._graph.get(at.after)
        return found

    # --- conversations -------------------------------------------------------------------------------------------

    def _gather(self, moved: Iterable[str]) -> None:
        """Give calls that continue another one now, and those that continue them, their conversation."""
        graph = self._graph
        waiting = [graph.calls[i].position for i in moved]
        heapify(waiting)
        while waiting:
            call = graph.calls[heappop(waiting)[1]]
            parent = graph.get(call.parent)
            conversation_id = parent.conversation_id if parent is not None else call.call_id
            if conversation_id == call.conversation_id:
                continue
            graph.change(call, "conversation_id", conversation_id)
            if parent is not None:
                graph.change(call, "nested_in", None)
                call.is_multi = call.is_spanning = False
            self._shaken.add(call.call_id)
            for child in graph.find("parent", [call.call_id]):
                heappush(waiting, child.position)

    def _nest(self) -> None:
        """Find what the conversations that may be concerned are nested in, the earliest first."""
        graph = self._graph
        seen, news = set(self._shaken), set(self._shaken)
        while news:  # who walks back through these, also by way of the first call of a conversation
            news = {call.call_id for call in graph.find("after", news)}
            news |= {c.call_id for c in graph.find("conversation_id", sorted(news))}
            news -= seen
            seen |= news
        seen |= {mate.call_id for i in self._shaken for mate in self._traces.mates(graph.calls[i])}
        waiting = [c.position for i in seen if (c := graph.calls[i]).conversation_id == i]
        heapify(waiting)
        done: set[str] = set()
        while waiting:
            root = graph.calls[heappop(waiting)[1]]
            if root.call_id in done or root.conversation_id != root.call_id:
                continue
            done.add(root.call_id)
            around = self._around(root)
            if around != root.nested_in:
                graph.change(root, "nested_in", around)
                root.is_multi = root.is_spanning = False
            self._retop(root)
        for i in self._shaken:  # calls that came to a conversation whose place is as it was
            call = graph.calls[i]
            if (first := graph.get(call.conversation_id)) is not None:
                self._set_top(call, first.top_id)

    def _retop(self, root: Call) -> None:
        """Pass on which conversation is the outermost one."""
        graph = self._graph
        around = graph.get(root.nested_in)
        top_id = around.top_id if around is not None else root.call_id
        if top_id == root.top_id:
            return
        for call in [root, *graph.find("conversation_id", [root.call_id])]:
            self._set_top(call, top_id)
        for inner in graph.find("nested_in", [root.call_id]):
            self._retop(inner)

    def _set_top(self, call: Call, top_id: str) -> None:
        if call.top_id != top_id:
            self._tops.setdefault(call.call_id, call.top_id)
            self._graph.change(call, "top_id", top_id)

    def _around(self, root: Call) -> str | None:
        """The conversation that waited for what this one does, else the first one of its trace."""
        return self._waiting(root) or self._traces.around(root)

    def _waiting(self, root: Call) -> str | None:
        """The conversation that waited when this one began: walks back through the calls that led to it."""
        graph, at = self._graph, _before(self._graph, root)
        for _ in range(MAX_DEPTH):
            if at is None:
                return None
            if at.conversation_id != root.call_id and waits(graph, at, root):
                return at.conversation_id
            # A call beside the conversation (without a link) is no turn of it; the turn it was made in comes before.
            start = at if at.rule in UNLINKED else graph.get(at.conversation_id)
            at = _before(graph, start) if start is not None else None
        return None

    # --- runs ----------------------------------------------------------------------------------------------------

    def _split(self) -> None:
        """Decide which recorded runs are split, and give every call concerned its run."""
        graph = self._graph
        for i in self._touched:
            if graph.calls[i].pool:
                graph.calls[i].run_id = graph.calls[i].home
        concerned = {i for i in {*self._touched, *self._tops} if not graph.calls[i].pool}
        lost = {top_id for i in concerned if (top_id := self._tops.get(i))}
        homes = {graph.calls[i].home for i in concerned if self._tops.get(i)}
        for top_id in lost:
            homes |= {call.home for call in graph.find("top_id", [top_id])}
        shrunk = set(homes)
        for top_id in {graph.calls[i].top_id for i in concerned} | lost:
            if (top := graph.get(top_id)) is not None and top.top_id == top_id:
                homes |= self._weigh(top, concerned, is_lost=top_id in lost)
        again = set(concerned)
        graph.fetch_split({*homes, *(graph.calls[i].home for i in again)})
        for home in sorted(homes):
            before = graph.was_split(home)
            if before and home not in shrunk:
                continue  # what was split stays so while nothing leaves it
            graph.homes[home] = self._is_split(home)
            if graph.homes[home] != before:
                again |= {call.call_id for call in graph.find("home", [home])}
        for call in (graph.calls[i] for i in again):
            if not call.pool:
                call.run_id = rebuilt_run_id(call.top_id) if graph.was_split(call.home) else call.home

    def _weigh(self, top: Call, concerned: set[str], *, is_lost: bool) -> set[str]:
        """Note whether an outermost conversation is more than a call, and in several processes.

        Returns the recorded runs that may be split otherwise for it.
        """
        graph, before = self._graph, (top.is_multi, top.is_spanning)
        of_it = {graph.calls[i].home for i in concerned if graph.calls[i].top_id == top.call_id}
        # Of an outermost conversation that was one call in the store, and stayed outermost, every other call is here.
        is_here = not is_lost and not self._tops.get(top.call_id)
        if is_lost or not top.is_multi:
            calls = graph.here("top_id", top.call_id) if is_here else graph.find("top_id", [top.call_id])
            top.is_multi, top.is_spanning = len(calls) > 1, len({call.home for call in calls}) > 1
        elif not top.is_spanning:
            top.is_spanning = of_it != {top.home}
        if before != (top.is_multi, top.is_spanning):
            is_known = is_here and not before[0]
            calls = graph.here("top_id", top.call_id) if is_known else graph.find("top_id", [top.call_id])
            return {call.home for call in calls}
        return of_it if top.is_spanning else set()

    def _is_split(self, home: str) -> bool:
        """Whether several conversations were led in a recorded run, or one that other processes led too."""
        graph = self._graph
        if self._is_clearly_split(home):
            return True
        graph.fetch("call_id", {call.top_id for call in graph.find("home", [home])})
        return self._is_clearly_split(home)

    def _is_clearly_split(self, home: str) -> bool:
        """The same, as far as its calls are here."""
        calls = self._graph.calls
        here = {call.top_id for call in calls.values() if call.home == home and not call.pool}
        tops = [calls[top_id] for top_id in here if top_id in calls]
        return any(top.is_spanning for top in tops) or sum(top.is_multi for top in tops) > 1


def _before(graph: Graph, call: Call) -> Call | None:
    """The call made before one in its context, if it may be: clocks jump."""
    before = graph.get(call.after)
    return before if before is not None and may_follow(before, call) else None
