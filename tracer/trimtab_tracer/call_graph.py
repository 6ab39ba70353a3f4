"""Calls as a graph: what is known of each, what follows, and its neighbours, fetched when they are asked for.

In: calls and links from wherever they are known (:class:`Known`). Out: :class:`Call` objects, found by any of the
values that tie them together. Apart from :mod:`.rebuild`, which says what follows, because this is the memory of one
change: it holds what the change touches, however many calls there are, and is dropped with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

Column: TypeAlias = Literal["call_id", "after", "parent", "conversation_id", "nested_in", "top_id", "home", "trace_id"]


@dataclass(slots=True, eq=False)
class Call:
    """A call: what is known of it, then what follows."""

    call_id: str
    home: str
    """The run it was recorded in."""
    pool: str
    """Calls of one pool may belong together: ``""`` for all that no run was declared for, else their run."""
    process_id: str
    started_ns: int
    ended_ns: int
    after: str | None = None
    """The call made before it in its context, or in the one that this was spawned from."""
    is_branch: bool = False
    """Whether it is the first call of a context that was spawned from that of ``after``."""
    state: str = "unknown"
    """``answered | waiting | failed | abandoned | unknown``: waiting where its answer asks for tools' results, unknown
    where nobody has read it yet."""
    tools_digest: str | None = None
    trace_id: str | None = None
    """The OpenTelemetry trace that was current when its first attempt was sent; None while that is not known, and where
    too many calls share it."""
    first_number: int = 1
    """The attempt that ``after`` and ``is_branch`` are from."""
    last_seen: int = 0
    """What ``state`` and ``tools_digest`` are from: twice the attempt's number, and one more once it was read."""
    parent: str | None = None
    """The call that it continues."""
    rule: str | None = None
    """How that is known: a value of :data:`.link_rules.RULES`, or one of :data:`.link_rules.UNLINKED`."""
    is_opening: bool = False
    """Nothing but unlinked calls lead to it: a conversation that begins after it in its context may be theirs."""
    conversation_id: str = ""
    """Id of the conversation's first call."""
    nested_in: str | None = None
    """Of a first call: the conversation that was waiting for what this one does."""
    top_id: str = ""
    """Id of the outermost conversation around."""
    is_multi: bool = False
    """Of an outermost first call: there is more than that call."""
    is_spanning: bool = False
    """Of an outermost first call: calls of several processes belong to it."""
    run_id: str = ""

    @property
    def position(self) -> tuple[int, str]:
        """Order in time."""
        return self.started_ns, self.call_id


class Link(NamedTuple):
    """A call offers a key to later ones that continue it, or wants one of an earlier call."""

    call_id: str
    key: str
    """The kind's letter (:data:`.link_rules.RULES`) and a digest."""
    is_offer: bool


class Near(NamedTuple):
    """What lies around calls."""

    calls: list[Call]
    """The calls themselves, those they share a key with, and those that follow any of these in a context or continue
    it."""
    links: list[Link]
    """All links of the calls themselves, and all with their keys."""


class Known(Protocol):
    """Where calls are known."""

    def near(self, call_ids: Collection[str], keys: Collection[str]) -> Near:
        """What lies around these calls, some of which may be unknown, and around keys of theirs."""
        ...

    def calls(self, column: Column, values: Collection[str]) -> Iterable[Call]:
        """The calls that have one of these values."""
        ...

    def links(self, column: Literal["call_id", "key"], values: Collection[str]) -> Iterable[Link]:
        """The links that have one of these values."""
        ...

    def split(self, homes: Collection[str]) -> set[str]:
        """Those of these recorded runs that are split."""
        ...

    def wide(self, trace_ids: Collection[str]) -> set[str]:
        """Those of these traces that too many calls share."""
        ...


class Graph:
    """The calls that a change touches, fetched as they are asked for.

    Attributes:
        calls: All that were fetched or put.
        homes: Recorded runs whose split state was decided: whether each is split.
        widened: Traces that are found to be shared by too many calls.
        earlier: Calls of which an earlier attempt is found than was known.
    """

    _COLUMNS: Final[tuple[Column, ...]] = (
        "after",
        "parent",
        "conversation_id",
        "nested_in",
        "top_id",
        "home",
        "trace_id",
    )

    _FOLLOWING: Final[tuple[Column, ...]] = ("parent", "conversation_id", "nested_in", "top_id")

    def __init__(self, known: Known) -> None:
        self._known = known
        self.calls: dict[str, Call] = {}
        self.homes: dict[str, bool] = {}
        self.widened: set[str] = set()
        self.earlier: set[str] = set()
        self._index: dict[Column, dict[str, set[str]]] = {column: defaultdict(set) for column in self._COLUMNS}
        self._asked: set[tuple[str, str]] = set()
        self._wants: dict[str, set[str]] = defaultdict(set)
        self._offers: dict[str, set[str]] = defaultdict(set)
        self._wanting: dict[str, set[str]] = defaultdict(set)
        self._offering: dict[str, set[str]] = defaultdict(set)

    def put(self, call: Call, links: Iterable[Link] = ()) -> None:
        """Know a call that was not known, and links of it: nothing that follows about other calls can name it yet."""
        self._adopt(call)
        self._asked.update((column, call.call_id) for column in ("call_id", *self._FOLLOWING))
        for link in links:
            self.link(link)

    def look_around(self, call_ids: Collection[str], keys: Collection[str]) -> None:
        """Fetch at once what a change of these calls will most likely ask for."""
        found = self._known.near(call_ids, keys)
        for call in found.calls:
            self._adopt(call)
        for link in found.links:
            self.link(link)
        self._asked.update(("links", i) for i in call_ids)
        self._asked.update(("key", key) for key in keys)
        around = {link.call_id for link in found.links}.union(call_ids)
        self._asked.update((column, i) for column in ("call_id", "after", "parent") for i in around)

    def _adopt(self, call: Call) -> None:
        if call.call_id not in self.calls:
            self.calls[call.call_id] = call
            for column in self._COLUMNS:
                if value := getattr(call, column):
                    self._index[column][value].add(call.call_id)

    def link(self, link: Link) -> None:
        """Know a link."""
        of_call, of_key = (self._offers, self._offering) if link.is_offer else (self._wants, self._wanting)
        of_call[link.call_id].add(link.key)
        of_key[link.key].add(link.call_id)

    def change(self, call: Call, column: Column, value: str | None) -> None:
        """Change what follows about a call."""
        if before := getattr(call, column):
            self._index[column][before].discard(call.call_id)
        setattr(call, column, value)
        if value:
            self._index[column][value].add(call.call_id)

    def get(self, call_id: str | None) -> Call | None:
        """A call, if it is known."""
        if call_id and call_id not in self.calls:
            self.fetch("call_id", [call_id])
        return self.calls.get(call_id or "")

    def fetch(self, column: Column, values: Iterable[str]) -> None:
        """Make sure that all calls with these values are here."""
        new = self._unasked(column, values)
        if new:
            for call in self._known.calls(column, new):
                self._adopt(call)

    def find(self, column: Column, values: Iterable[str]) -> list[Call]:
        """The calls with these values."""
        values = list(values)
        self.fetch(column, values)
        return [call for value in values for call in self.here(column, value)]

    def here(self, column: Column, value: str) -> list[Call]:
        """The calls with this value that were fetched or put already."""
        return [self.calls[i] for i in sorted(self._index[column].get(value, ()))]

    def links_of(self, call_ids: Collection[str]) -> None:
        """Make sure that the links of these calls are here."""
        if new := self._unasked("links", call_ids):
            for link in self._known.links("call_id", new):
                self.link(link)

    def meet(self, keys: Collection[str]) -> None:
        """Make sure that all calls with these keys are here."""
        if new := self._unasked("key", keys):
            found = list(self._known.links("key", new))
            self.fetch("call_id", {link.call_id for link in found})
            for link in found:
                self.link(link)

    def wants(self, call_id: str) -> set[str]:
        """Keys of earlier calls that a call names."""
        self.links_of([call_id])
        return self._wants.get(call_id, set())

    def offers(self, call_id: str) -> set[str]:
        """Keys that a call gives to later ones."""
        self.links_of([call_id])
        return self._offers.get(call_id, set())

    def offering(self, key: str) -> list[Call]:
        """The calls that offer a key."""
        self.meet([key])
        return [self.calls[i] for i in self._offering.get(key, ()) if i in self.calls]

    def wanting(self, keys: Collection[str]) -> list[Call]:
        """The calls that want one of these keys."""
        self.meet(keys)
        return [self.calls[i] for key in keys for i in sorted(self._wanting.get(key, ())) if i in self.calls]

    def fetch_split(self, homes: Iterable[str]) -> None:
        """Make sure that it is known which recorded runs are split."""
        if new := [home for home in dict.fromkeys(homes) if home not in self.homes]:
            split = self._known.split(new)
            self.homes |= {home: home in split for home in new}

    def was_split(self, home: str) -> bool:
        """Whether a recorded run is split, as far as is known yet."""
        self.fetch_split([home])
        return self.homes[home]

    def wide(self, trace_ids: Collection[str]) -> set[str]:
        """Those of these traces that too many calls share already."""
        return self._known.wide(trace_ids)

    def _unasked(self, what: str, values: Iterable[str]) -> list[str]:
        new = [value for value in dict.fromkeys(values) if (what, value) not in self._asked]
        self._asked.update((what, value) for value in new)
        return new
