"""What a knob does to success, cost and latency: effects where values were drawn, associations elsewhere.

    read_units(con)  →  compare_values(units)  →  Comparisons
    logged(units, line, knob, measure)  →  policy_value(sample, candidate, ...)

``docs/effects.md`` says what the numbers promise, and shows the simulations that check it.
"""

from .answers import Association, Comparisons, Effect
from .comparisons import Logged, compare_values, logged
from .sample import Sample
from .units import SOURCES, TRUSTED, Units, read_runs, read_units
from .value import NoOverlap, Value, policy_value

__all__ = [
    "SOURCES",
    "TRUSTED",
    "Association",
    "Comparisons",
    "Effect",
    "Logged",
    "NoOverlap",
    "Sample",
    "Units",
    "Value",
    "compare_values",
    "logged",
    "policy_value",
    "read_runs",
    "read_units",
]
