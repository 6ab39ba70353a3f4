"""A scenario: which request gets which answer.

In: a TOML or JSON file, or a mapping (docs/provider.md describes the keys). Out: a frozen :class:`Scenario`. It keeps
no state; what was answered how often is :mod:`.script`'s.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .answers import Answer
from .errors import ScenarioError
from .reading import read_answer, read_rule
from .rules import Rule
from .validation import Table

CLOCK_S = 1_767_225_600
"""Where a scenario's clock starts by default: 2026-01-01 00:00 UTC."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """The whole script."""

    rules: tuple[Rule, ...] = ()
    otherwise: Answer | None = None
    models: tuple[str, ...] = ()
    seed: int = 0
    clock_s: int = CLOCK_S
    honour_max_tokens: bool = False
    honour_stop: bool = False
    gzip: bool = False

    @classmethod
    def load(cls, path: str | Path) -> Scenario:
        """Read a ``.toml`` or ``.json`` file.

        Raises:
            ScenarioError: it can't be read, or holds something unknown.
        """
        path = Path(path)
        try:
            text = path.read_text("utf-8")
            data = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        except (OSError, ValueError) as error:
            raise ScenarioError.unreadable(path, error) from error
        return cls.from_dict(data, source=str(path))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str = "scenario") -> Scenario:
        """Read a mapping; ``source`` is what messages call it.

        Raises:
            ScenarioError: it holds something unknown.
        """
        table = Table(data, source)
        base = table.raw("defaults", {})
        read_answer(base, {}, table.path("defaults"))
        otherwise = table.raw("otherwise")
        rules = [read_rule(item, base, f"{source}: rules[{i}]") for i, item in enumerate(table.items("rules"))]
        scenario = cls(
            rules=tuple(rules),
            otherwise=None if otherwise is None else read_answer(otherwise, base, table.path("otherwise")),
            models=tuple(str(m) for m in table.items("models")),
            seed=table.count("seed", 0) or 0,
            clock_s=table.count("clock_s", CLOCK_S) or 0,
            honour_max_tokens=bool(table.flag("honour_max_tokens")),
            honour_stop=bool(table.flag("honour_stop")),
            gzip=bool(table.flag("gzip")),
        )
        table.done()
        return scenario
