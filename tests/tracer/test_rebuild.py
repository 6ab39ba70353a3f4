from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_tracer import traces
from trimtab_tracer.call_graph import Call, Column, Graph, Link, Near
from trimtab_tracer.link_rules import AGAIN_WITHIN_NS
from trimtab_tracer.rebuild import rebuilt_run_id, settle
from trimtab_tracer.traces import MAX_CALLS

SECOND = 10**9
DERIVED = ("parent", "rule", "conversation_id", "top_id", "nested_in", "run_id")


@dataclass
class World:
    """Calls as a store would keep them, and links."""

    kept: dict[str, Call] = field(default_factory=dict)
    ties: set[Link] = field(default_factory=set)
    is_split: set[str] = field(default_factory=set)
    widened: set[str] = field(default_factory=set)
    is_looking_around: bool = False

    def near(self, call_ids: Collection[str], keys: Collection[str]) -> Near:
        links = [link for link in self.ties if link.call_id in call_ids or link.key in keys]
        around = {*call_ids, *(link.call_id for link in links)}
        near = [c for c in self.kept.values() if {c.call_id, c.after, c.parent} & around]
        return Near([replace(c) for c in near], links)

    def calls(self, column: Column, values: Collection[str]) -> Iterable[Call]:
        return [replace(call) for call in self.kept.values() if getattr(call, column) in values]

    def links(self, column: Literal["call_id", "key"], values: Collection[str]) -> Iterable[Link]:
        return [link for link in self.ties if getattr(link, column) in values]

    def split(self, homes: Collection[str]) -> set[str]:
        return self.is_split & set(homes)

    def wide(self, trace_ids: Collection[str]) -> set[str]:
        return self.widened & set(trace_ids)

    def add(self, *news: tuple[Call, list[Link]]) -> World:
        """Take in calls, as one batch."""
        graph = Graph(self)
        if self.is_looking_around:
            graph.look_around([c.call_id for c, _ in news], [link.key for _, links in news for link in links])
        for call, links in news:
            self.ties |= set(links)
            graph.put(replace(call), links)
        settle(graph, [call.call_id for call, _ in news])
        self.kept |= {i: replace(call) for i, call in graph.calls.items()}
        self.widened |= graph.widened
        self.is_split = (self.is_split | {h for h, yes in graph.homes.items() if yes}) - {
            h for h, yes in graph.homes.items() if not yes
        }
        return self

    def derived(self) -> dict[str, tuple[Any, ...]]:
        """What follows about each call."""
        return {i: tuple(getattr(call, name) for name in DERIVED) for i, call in sorted(self.kept.items())}

    def groups(self, name: str) -> set[frozenset[str]]:
        """The calls by the value of a field."""
        found: dict[str, set[str]] = defaultdict(set)
        for call in self.kept.values():
            found[getattr(call, name)].add(call.call_id)
        return {frozenset(calls) for calls in found.values()}


def call(
    call_id: str, at: int, wants: str = "", offers: str = "", process: str = "p", **more: Any
) -> tuple[Call, list[Link]]:
    """A call of half a second that began ``at`` seconds; keys are words such as ``t1 s2``."""
    facts = {"state": "answered"} | more
    home, pool = facts.pop("home", f"run-{process}"), facts.pop("pool", "")
    made = Call(call_id, home, pool, process, at * SECOND, at * SECOND + SECOND // 2, **facts)
    links = [Link(call_id, key, True) for key in offers.split()] + [Link(call_id, key, False) for key in wants.split()]
    return made, links


def agent(name: str, starts: Iterable[int], **more: Any) -> list[tuple[Call, list[Link]]]:
    """An agent's turns, one after the other in one context, linked by tool call ids; the last one is its answer."""
    starts = list(starts)
    calls = []
    before = more.pop("after", None)
    for n, at in enumerate(starts):
        is_last = n == len(starts) - 1
        ties = {"wants": f"t{name}{n - 1}" if n else "", "offers": "" if is_last else f"t{name}{n}"}
        state = "answered" if is_last else "waiting"
        calls.append(call(f"{name}{n}", at, **ties, after=before, **{"state": state} | more))
        before = f"{name}{n}"
        more.pop("is_branch", None)
    return calls


def ids(*names: str) -> set[frozenset[str]]:
    return {frozenset(group.split()) for group in names}


def test_one_conversation_is_the_process() -> None:
    """A script with one agent keeps the run of its process."""
    world = World().add(*agent("a", range(4)))
    assert {"run-p"} == {c.run_id for c in world.kept.values()}
    assert ids("a0 a1 a2 a3") == world.groups("conversation_id")


def test_two_agents_at_once_are_two_runs() -> None:
    """Conversations that overlap in one process, linked only within, are runs of their own."""
    world = World().add(*agent("a", (0, 2, 4)), *agent("b", (1, 3, 5)))
    assert ids("a0 a1 a2", "b0 b1 b2") == world.groups("run_id")
    assert rebuilt_run_id("a0") == world.kept["a2"].run_id
    assert {"run-p"} == world.is_split


def test_single_calls_of_one_context_stay_with_the_process() -> None:
    """A pipeline of prompts that name no earlier one is one conversation, and the process's run."""
    calls = [call(f"c{n}", n, after=f"c{n - 1}" if n else None) for n in range(5)]
    world = World().add(*calls)
    assert {"run-p"} == {c.run_id for c in world.kept.values()}
    assert ids("c0 c1 c2 c3 c4") == world.groups("conversation_id")
    assert {None, "context"} == {c.rule for c in world.kept.values()}


def test_single_calls_side_by_side_stay_with_the_process() -> None:
    """Prompts that a script sends at once, and one that puts their answers together, are no runs of their own."""
    world = World().add(*[call(f"c{n}", 0) for n in range(5)], call("sum", 3))
    assert {"run-p"} == {c.run_id for c in world.kept.values()}


def test_a_loop_over_tasks_is_a_run_per_task() -> None:
    """Agents one after the other in one context are apart, however many follow."""
    calls = [*agent("a", (0, 1)), *agent("b", (2, 3), after="a1"), *agent("c", (4, 5, 6), after="b1")]
    world = World().add(*calls)
    assert ids("a0 a1", "b0 b1", "c0 c1 c2") == world.groups("run_id")


def test_a_router_belongs_to_the_agent_it_opens() -> None:
    """A single call before an agent, in the same context, is of its run; one after it is, too."""
    one = [call("route", 0), *agent("a", (1, 2), after="route"), call("sum", 3, after="a1")]
    other = [call("route2", 0), *agent("b", (1, 2), after="route2")]
    world = World().add(*one, *other)
    assert ids("route a0 a1 sum", "route2 b0 b1") == world.groups("run_id")


def test_what_was_made_before_workers_were_spawned_is_not_theirs() -> None:
    """Agents in tasks or threads that were spawned after a first call are not part of its conversation."""
    agents = [*agent("a", (1, 3), after="warm", is_branch=True), *agent("b", (2, 4), after="warm", is_branch=True)]
    world = World().add(call("warm", 0), *agents)
    assert ids("warm", "a0 a1", "b0 b1") == world.groups("run_id")


def test_single_calls_of_a_split_process_are_runs() -> None:
    """A task that is answered at once is a run like the others, where the process led several conversations."""
    world = World().add(*agent("a", (0, 2)), *agent("b", (1, 3)), call("c", 4))
    assert ids("a0 a1", "b0 b1", "c") == world.groups("run_id")


@pytest.mark.parametrize("is_branch", [True, False])
def test_a_nested_agent_is_a_conversation_of_the_same_run(is_branch: bool) -> None:
    """An agent that is a tool of another one is apart as a conversation, and its calls belong to the same run."""
    outer = agent("a", (0, 10), tools_digest="outer")
    inner = agent("n", (2, 4), after="a0", is_branch=is_branch, tools_digest="inner")
    world = World().add(*outer, *inner, *agent("b", (1, 20)))
    assert ids("a0 a1", "n0 n1", "b0 b1") == world.groups("conversation_id")
    assert ids("a0 a1 n0 n1", "b0 b1") == world.groups("run_id")
    assert "a0" == world.kept["n0"].nested_in


def test_a_nested_agent_whose_parent_never_went_on() -> None:
    """While a tool call is open, an agent with other tools is nested; the same agent again is the next task."""
    outer = call("a0", 0, offers="ta", state="waiting", tools_digest="outer")
    nested = agent("n", (2, 4), after="a0", tools_digest="inner")
    again = agent("o", (6, 8), after="n1", tools_digest="outer")
    world = World().add(outer, *nested, *again)
    assert ids("a0 n0 n1", "o0 o1") == world.groups("run_id")


def test_nested_twice_and_one_after_the_other() -> None:
    """Agents in agents, and two that one turn calls after each other, all belong to the outermost run."""
    world = World().add(
        *agent("a", (0, 20)),
        *agent("b", (1, 8), after="a0"),
        *agent("c", (2, 3), after="b0"),
        *agent("d", (10, 11), after="b1"),
        *agent("z", (5, 30)),
    )
    assert ids("a0 a1 b0 b1 c0 c1 d0 d1", "z0 z1") == world.groups("run_id")
    assert (None, "a0", "b0", "a0") == tuple(world.kept[i].nested_in for i in ("a0", "b0", "c0", "d0"))


def test_a_conversation_that_workers_share_is_one_run() -> None:
    """Processes that go on with each other's conversation are workers: what they lead is in runs of their own."""
    shared = [call("a0", 0, offers="r1"), call("a1", 1, "r1", "r2", process="q"), call("a2", 2, "r2", process="s")]
    world = World().add(*shared, call("b", 3, process="q"))
    assert ids("a0 a1 a2", "b") == world.groups("run_id")


def test_the_surest_link_wins() -> None:
    """A response id says more than the messages, and the messages with their answer more than those without."""
    first, second = call("a", 0, offers="r1 s1"), call("b", 1, offers="s1 a1")
    world = World().add(first, second, call("c", 2, "r1 s1"), call("d", 3, "s1 a1"))
    assert ("a", "response id") == (world.kept["c"].parent, world.kept["c"].rule)
    assert ("b", "messages and answer") == (world.kept["d"].parent, world.kept["d"].rule)


def test_equal_messages_are_told_apart_by_their_context() -> None:
    """Tasks that ask and answer the same word for word go on from the call of their own context."""
    firsts = [call(f"a{n}", n, offers="s1") for n in range(4)]
    seconds = [call(f"b{n}", 10 + n, "s1", after=f"a{n}") for n in range(4)]
    world = World().add(*firsts, *seconds)
    assert ids("a0 b0", "a1 b1", "a2 b2", "a3 b3") == world.groups("conversation_id")


def test_a_tool_id_that_every_process_has_links_within_one() -> None:
    """``call_0`` of another process is another tool call, unless the messages agree."""
    ours = [call("a", 0, offers="t0"), call("b", 5, "t0")]
    world = World().add(*ours, call("x", 3, offers="t0", process="q"), call("y", 7, "t0 s9", process="s"))
    assert ("a", None) == (world.kept["b"].parent, world.kept["y"].parent)
    world.add(call("w", 4, offers="t0 s9", process="u"))
    assert "w" == world.kept["y"].parent


def test_a_failed_request_sent_again_is_the_same_conversation() -> None:
    """A loop around the SDK that repeats a request whose call failed goes on with it, if soon."""
    soon, late = 2, 3 + AGAIN_WITHIN_NS // SECOND
    failed = call("a", 0, offers="f1", state="failed")
    world = World().add(failed, call("b", soon, "f1", "t1"), call("c", soon + 1, "t1"), call("d", late, "f1", "t2"))
    assert ("a", "sent again") == (world.kept["b"].parent, world.kept["b"].rule)
    assert None is world.kept["d"].parent


def test_declared_runs_are_never_moved() -> None:
    """What happens in a declared run stays there, also where it goes on with something outside of it."""
    outside = call("a", 0, offers="r1")
    inside = [call("b", 1, "r1", "r2", home="mine", pool="mine"), call("c", 2, "r2", home="mine", pool="mine")]
    world = World().add(outside, *inside, *agent("d", (3, 4)), *agent("e", (3, 4)))
    assert {"mine"} == {world.kept[i].run_id for i in "bc"}
    assert ids("a", "b c", "d0 d1", "e0 e1") == world.groups("conversation_id")


def traced(trace_id: str, *calls: tuple[Call, list[Link]]) -> list[tuple[Call, list[Link]]]:
    """Calls that were sent within one span."""
    return [(replace(made, trace_id=trace_id), links) for made, links in calls]


def test_a_trace_ties_what_nothing_else_does() -> None:
    """Calls without links whose contexts are lost, of two processes even, are one run where they share a trace."""
    one = traced("T", call("a", 0), call("b", 2, process="q"), call("c", 4))
    other = traced("U", call("x", 1), call("y", 3, process="q"), call("z", 5))
    world = World().add(*one, *other)
    assert ids("a b c", "x y z") == world.groups("run_id") == world.groups("conversation_id")
    assert {None, "trace"} == {c.rule for c in world.kept.values()}


def test_a_loop_with_a_trace_for_each_task_is_a_run_per_task() -> None:
    """Tasks of one context that no link tells apart are apart where each has a span around it."""
    names = "abcdef"
    calls = [call(name, n, after=names[n - 1] if n else None) for n, name in enumerate(names)]
    whole = World().add(*calls)
    assert ids("a b c d e f") == whole.groups("conversation_id")
    world = World().add(*traced("T", *calls[:3]), *traced("U", *calls[3:]))
    assert ids("a b c", "d e f") == world.groups("run_id")


def test_a_trace_for_each_request_says_nothing() -> None:
    """Where every call is a trace of its own, as without any span around, its context counts as ever."""
    names = "abcd"
    calls = [call(name, n, after=names[n - 1] if n else None) for n, name in enumerate(names)]
    world = World().add(*[one for n, made in enumerate(calls) for one in traced(f"T{n}", made)])
    assert ids("a b c d") == world.groups("conversation_id")
    assert {None, "context"} == {c.rule for c in world.kept.values()}


def test_a_span_around_a_worker_ties_nothing() -> None:
    """Agents that share a trace and did not wait for each other are apart, and so are calls beside them."""
    one, other = agent("a", (0, 4, 8)), agent("b", (2, 6, 10))
    world = World().add(*traced("T", *one, *other, call("c", 5)))
    assert ids("a0 a1 a2", "b0 b1 b2", "c") == world.groups("run_id")
    later = World().add(*traced("T", *agent("a", (0, 1)), *agent("b", (2, 3))))
    assert ids("a0 a1", "b0 b1") == later.groups("run_id")


@pytest.mark.parametrize("calls", [MAX_CALLS, MAX_CALLS + 1])
def test_a_trace_of_very_many_calls_ties_nothing(calls: int) -> None:
    """A trace that goes on and on is a worker's; what it had tied is apart again, and later calls of it are, too."""
    world = World().add(*agent("y", (0, 2)), *agent("z", (1, 3)))
    for n in range(calls):
        world.add(*traced("T", call(f"c{n:03}", 10 + n)))
    is_tied = calls <= MAX_CALLS
    assert 2 + (1 if is_tied else calls) == len(world.groups("run_id"))
    assert {None if calls > MAX_CALLS else "T"} == {c.trace_id for i, c in world.kept.items() if i.startswith("c")}


def test_an_agent_of_another_process_is_nested_by_its_trace() -> None:
    """A tool that asks a service whose agent takes part in the trace: conversations of their own, one run."""
    outer = agent("a", (0, 10), tools_digest="outer")
    inner = agent("n", (2, 4), process="q", tools_digest="inner")
    world = World().add(*traced("T", *outer, *inner), *agent("b", (1, 20)))
    assert ids("a0 a1", "n0 n1", "b0 b1") == world.groups("conversation_id")
    assert ids("a0 a1 n0 n1", "b0 b1") == world.groups("run_id")
    assert "a0" == world.kept["n0"].nested_in


def test_agents_at_once_in_a_trace_without_links() -> None:
    """Calls of one trace that overlap are of two conversations, in the run of the first one."""
    calls = [call("a0", 0), replace_times(call("b0", 0), 0.2), call("a1", 1), replace_times(call("b1", 1), 0.2)]
    world = World().add(*traced("T", *calls), *agent("y", (0, 2)), *agent("z", (1, 3)))
    assert ids("a0 b0 a1 b1", "y0 y1", "z0 z1") == world.groups("run_id")
    assert world.kept["a0"].conversation_id != world.kept["b0"].conversation_id
    assert "a0" == world.kept["b0"].nested_in


def replace_times(made: tuple[Call, list[Link]], later_s: float) -> tuple[Call, list[Link]]:
    """A call that began a little later."""
    shift = int(later_s * SECOND)
    return replace(made[0], started_ns=made[0].started_ns + shift, ended_ns=made[0].ended_ns + shift), made[1]


def test_links_are_surer_than_traces() -> None:
    """A chat whose turns are traces of their own is one conversation, and what is beside a turn belongs to it."""
    chat = agent("a", (0, 2, 4, 6))
    world = World().add(
        *traced("T", chat[0], chat[1]),
        *traced("U", call("guard", 3), chat[2], chat[3]),
        *agent("z", (1, 7)),
    )
    assert ids("a0 a1 a2 a3 guard", "z0 z1") == world.groups("run_id")
    assert ["a0", "a1", "a2"] == [world.kept[f"a{n}"].parent for n in (1, 2, 3)]


@st.composite
def stories(draw: st.DrawFn) -> list[tuple[Call, list[Link]]]:
    """Agents that nest, overlap, follow each other, share processes and call once, in any mixture."""
    made: list[tuple[Call, list[Link]]] = []
    for n in range(draw(st.integers(1, 5))):
        starts = sorted(draw(st.lists(st.integers(0, 30), min_size=1, max_size=4, unique=True)))
        earlier = [c.call_id for c, _ in made if c.started_ns < starts[0] * SECOND]
        more: dict[str, Any] = {"process": draw(st.sampled_from("ppppq"))}
        if earlier and draw(st.booleans()):
            more |= {"after": draw(st.sampled_from(earlier)), "is_branch": draw(st.booleans())}
        more["tools_digest"] = draw(st.sampled_from(["x", "y"]))
        if draw(st.integers(0, 5)) == 0:
            more |= {"home": "mine", "pool": "mine"}
        turns = agent("abcde"[n], starts, **more)
        if draw(st.booleans()):  # a process goes on with what another one began
            turns = [
                (replace(c, process_id="q", home="run-q") if i % 2 and not c.pool else c, links)
                for i, (c, links) in enumerate(turns)
            ]
        made += turns
    spans = draw(st.lists(st.sampled_from([None, "T", "U"]), min_size=len(made), max_size=len(made)))
    made = [(replace(c, trace_id=trace_id), links) for (c, links), trace_id in zip(made, spans, strict=True)]
    common = draw(st.sampled_from(["", "s1", "a1", "f1", "k1"]))
    return [(c, [*links, *(Link(c.call_id, common, yes) for yes in (True, False) if common)]) for c, links in made]


@given(stories(), st.integers(0, 2**32), st.integers(1, 6), st.sampled_from([4, MAX_CALLS]))
@settings(max_examples=80)
def test_any_order_and_any_batches(
    story: list[tuple[Call, list[Link]]], seed: int, batches: int, max_calls: int
) -> None:
    """However calls are shuffled and cut into batches, the same follows in the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traces, "MAX_CALLS", max_calls)
        compare_orders(story, seed, batches)


def compare_orders(story: list[tuple[Call, list[Link]]], seed: int, batches: int) -> None:
    """Take in calls at once, and shuffled in batches, and look for a difference."""
    whole = World().add(*story)
    chance = random.Random(seed)
    shuffled = chance.sample(story, len(story))
    cut = World(is_looking_around=batches % 2 == 0)
    for n in range(batches):
        if batch := shuffled[n::batches]:
            cut.add(*batch)
    assert whole.derived() == cut.derived()
    assert whole.is_split == cut.is_split


@given(st.integers(1, 6), st.integers(0, 2**32))
@settings(max_examples=25)
def test_interleaved_agents_come_apart(agents: int, seed: int) -> None:
    """Agents whose turns are mixed in any way, in one process, are told apart."""
    chance = random.Random(seed)
    turns = [name for name in "abcdef"[:agents] for _ in range(chance.randint(2, 5))]
    chance.shuffle(turns)
    at: dict[str, list[int]] = defaultdict(list)
    for n, name in enumerate(turns):
        at[name].append(n)
    calls = [c for name, starts in at.items() for c in agent(name, starts)]
    world = World().add(*chance.sample(calls, len(calls)))
    expected = {frozenset(f"{name}{n}" for n in range(len(starts))) for name, starts in at.items()}
    assert expected == world.groups("conversation_id")
    assert len(expected) == len(world.groups("run_id"))


def test_facts_and_what_follows_are_all_there_is() -> None:
    """A call has no field that a store of it would miss."""
    assert set(DERIVED) < {f.name for f in fields(Call)}
