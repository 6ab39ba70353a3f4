"""What a value of a knob would have come to, weighed from values that were drawn.

In: ``/v1/what-if``. Out: figures, rows and a chart with intervals that hold at any time. It is an effect, because
chance chose the values; where the log can't say, the sidecar's refusal stands instead.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from . import plots, words
from .overview import Figure

MEASURES = {"Success": "success", "Cost of a run": "cost", "Time of a call": "latency"}
"""What can be asked for, and its name in the API."""
ESTIMATORS = {
    "dr": "doubly robust (the one to read)",
    "snips": "weights, self-normalised",
    "ipw": "weights alone",
}
MOST_VALUES = 8
"""Drawn values that the chart compares."""


def label(choice: Any) -> str:
    """``style at support.py:66 (3 values, 420 runs)``."""
    runs, values = words.count(sum(choice["runs"]), "run"), words.count(len(choice["values"]), "value")
    return words.visible(f"{choice['knob']} at {choice['place']} ({values}, {runs})")


def value_label(text: str) -> str:
    """A value as people write it, of its JSON text."""
    return words.kept(words.value(json.loads(text)), 80)


def candidate(said: str, values: Sequence[str]) -> str:
    """The JSON text of what a person chose or wrote."""
    for text in values:
        if value_label(text) == said:
            return text
    try:
        return json.dumps(json.loads(said))
    except ValueError:
        return json.dumps(said)


def amount(measure: str, number: float | None) -> str:
    """A number of the measure with its unit."""
    if number is None:
        return "no bound"
    if measure == "success":
        return f"{100 * number:.1f} %"
    return words.usd_fine(round(number * 1e6)) if measure == "cost" else words.seconds(number)


def _interval(measure: str, low: float | None, high: float | None) -> str:
    return f"{amount(measure, low)} to {amount(measure, high)}"


def figures(value: Any, measure: str) -> list[Figure]:
    """What ran, what the candidate would have come to, and how much the log tells of it."""
    kind = "holds at any time" if value["is_exact"] else "holds at any time, as the number of runs grows"
    one_look = _interval(measure, value["dr"]["low"], value["dr"]["high"])
    return [
        Figure("What ran", amount(measure, value["logged"]), f"mean of all, n = {words.count(value['n'], 'run')}"),
        Figure(
            "With this value",
            amount(measure, value["dr"]["estimate"]),
            f"95 % interval {_interval(measure, value['low'], value['high'])}, {kind}; {one_look} for one look",
        ),
        Figure(
            "Effective runs",
            f"{value['effective']:,.0f} of {value['n']:,}",
            "runs drawn with this value that would tell as much",
        ),
    ]


def estimates(value: Any, measure: str) -> list[dict[str, str]]:
    """The three estimators, each with its interval for one look."""
    return [
        {
            "Estimator": name,
            "Value": amount(measure, value[key]["estimate"]),
            "95 % interval, one look": _interval(measure, value[key]["low"], value[key]["high"]),
        }
        for key, name in ESTIMATORS.items()
    ]


def chart(answers: Sequence[tuple[str, Any]], measure: str) -> dict[str, Any] | None:
    """The values that have an answer as points with their intervals, against what ran; None where none has."""
    unit, scale = {"success": ("success (%)", 100.0), "cost": ("USD of a run", 1.0), "latency": ("seconds", 1.0)}[
        measure
    ]
    rows = []
    for text, answer in answers:
        if (value := answer["value"]) is not None:
            bounds = _interval(measure, value["low"], value["high"])
            rows.append(
                {
                    "name": value_label(text),
                    "value": scale * value["dr"]["estimate"],
                    "low": None if value["low"] is None else scale * value["low"],
                    "high": None if value["high"] is None else scale * value["high"],
                    "said": f"{amount(measure, value['dr']['estimate'])} (95 % interval {bounds})",
                    "logged": scale * value["logged"],
                }
            )
    return plots.intervals(rows, title=unit, at=rows[0]["logged"]) if rows else None


def note(answer: Any) -> str:
    """n and time range."""
    value = answer["value"]
    n = f"n = {words.count(value['n'], 'run')} whose value was drawn" if value else "no number"
    when = words.period(answer["first_ns"], answer["last_ns"])
    return f"{n}, {when}. Dashed: what ran. Lines: 95 % intervals at any time"
