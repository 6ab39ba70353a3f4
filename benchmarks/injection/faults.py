"""Reads a folder of faults: which harness is changed how, what is true of it, and which half it belongs to.

In: ``faults.toml``, ``model.toml`` and ``agents/*.py`` of a folder. Out: one :class:`Case` per fault or twin and agent.
What a key means is in docs/fault-injection.md. An unknown key, a missing agent or a marker that no line carries stops
with a sentence: a slip in the truth must not count as a miss of the analyzer.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from trimtab_tuner.provider import Scenario

from .places import marked_places

TUNING: Final = "tuning"
HELD_OUT: Final = "held-out"
SALT: Final = "trimtab fault injection 1:"
"""What the digests of the split begin with; another text would deal the faults out otherwise."""

HARMS: Final = ("fails", "requests", "tokens", "seconds", "cost")
_COMMON: Final = {"id", "what", "agents", "tasks", "set", "rules", "options", "for"}
_KEYS: Final = {"fault": _COMMON | {"family", "mode", "twin", "knob", "value", "site", "harm"}, "twin": _COMMON}
_UNSET: Final = object()


@dataclass(frozen=True, slots=True)
class Truth:
    """What a finding must name."""

    knobs: tuple[str, ...]
    """Any of them; the first is the name that the figures use."""
    has_value: bool
    value: Any
    lines: frozenset[int]
    """Lines of the statements at which the decision is made."""
    harm: str


@dataclass(frozen=True, slots=True)
class Case:
    """One fault in one agent, or one healthy twin."""

    id: str
    agent: str
    script: Path
    family: str
    mode: int | None
    split: str | None
    """None for what is healthy anyway."""
    truth: Truth | None
    """None for what is healthy anyway."""
    settings: Mapping[str, Any]
    sound: Mapping[str, Any]
    """Settings of the paired twin: the same tasks, the same model, no fault."""
    tasks: Mapping[str, int]
    scenario: Mapping[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.id}@{self.agent}"

    def orders(self, seed: int) -> list[str]:
        """The tasks of one seed: numbers drawn below their prefixes, in a drawn order."""
        draw = random.Random(f"{seed} {self.id}")
        orders: list[str] = []
        for prefix, count in self.tasks.items():
            rest = 10 ** (6 - len(prefix))
            orders += [f"{prefix}{n:0{6 - len(prefix)}d}" for n in draw.sample(range(rest), count)]
        draw.shuffle(orders)
        return orders


def read(folder: Path) -> list[Case]:
    """Every case of a folder, faults first.

    Raises:
        SystemExit: the folder lacks a file, or its list says something that can't be.
    """
    listed, model = (_toml(folder / name) for name in ("faults.toml", "model.toml"))
    if unknown := set(listed) - set(_KEYS):
        raise SystemExit(f"{folder / 'faults.toml'} has unknown tables {sorted(unknown)}; known are {sorted(_KEYS)}.")
    faults, twins = listed.get("fault", []), listed.get("twin", [])
    ids = [entry.get("id") for entry in (*faults, *twins)]
    if None in ids or len(ids) != len(set(ids)):
        raise SystemExit(f"{folder / 'faults.toml'}: every fault and twin needs an id of its own.")
    halves = split({entry["id"]: str(entry.get("family", "")) for entry in faults})
    return [
        _case(folder, kind, entry, agent, model, halves)
        for kind, entries in (("fault", faults), ("twin", twins))
        for entry in entries
        for agent in entry["agents"]
    ]


def split(families: Mapping[str, str]) -> dict[str, str]:
    """The half of each fault: within its family in the order of digests, in turn.

    Args:
        families: Family by id.
    """
    halves: dict[str, str] = {}
    for family in set(families.values()):
        ids = sorted((i for i, of in families.items() if of == family), key=_digest)
        first = _digest(family) % 2
        halves |= {fault_id: (TUNING, HELD_OUT)[(first + at) % 2] for at, fault_id in enumerate(ids)}
    return halves


def scenario_of(case: Case, seed: int) -> Scenario:
    """What answers a case: the fault's own rules before those of the model."""
    return Scenario.from_dict({**case.scenario, "seed": seed}, source=case.name)


def _digest(text: str) -> int:
    return int.from_bytes(sha256((SALT + text).encode()).digest())


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SystemExit(f"{path} can't be read: {error}") from error


def _case(
    folder: Path, kind: str, entry: dict[str, Any], agent: str, model: dict[str, Any], halves: Mapping[str, str]
) -> Case:
    own = {**entry, **entry.get("for", {}).get(agent, {})}
    where, script = f"{folder / 'faults.toml'}: {entry['id']}", folder / "agents" / f"{agent}.py"
    if unknown := set(own) - _KEYS[kind]:
        raise SystemExit(f"{where} has unknown keys {sorted(unknown)}; known are {sorted(_KEYS[kind])}.")
    if not script.is_file():
        raise SystemExit(f"{where} names the agent {agent!r}, but there is no {script}.")
    rules: Sequence[Any] = [*own.get("rules", []), *model.get("rules", [])]
    settings = own.get("set", {})
    return Case(
        id=entry["id"],
        agent=agent,
        script=script.resolve(),
        family=own.get("family", ""),
        mode=own.get("mode"),
        split=halves.get(entry["id"]),
        truth=_truth(own, script, where) if kind == "fault" else None,
        settings=settings,
        sound=own.get("twin", {}) if kind == "fault" else settings,
        tasks=own["tasks"],
        scenario={**model, **own.get("options", {}), "rules": rules},
    )


def _truth(own: dict[str, Any], script: Path, where: str) -> Truth:
    places = marked_places(script)
    if not own.get("knob") or own.get("harm") not in HARMS:
        raise SystemExit(f"{where} needs a knob, and a harm of {HARMS}.")
    lines = [places[name] for name in own.get("site", ()) if name in places]
    if not lines:
        raise SystemExit(f"{where}: {script} has none of the markers {own.get('site')}; it has {sorted(places)}.")
    value = own.get("value", _UNSET)
    return Truth(
        tuple(own["knob"]),
        value is not _UNSET,
        None if value is _UNSET else value,
        frozenset().union(*lines),
        own["harm"],
    )
