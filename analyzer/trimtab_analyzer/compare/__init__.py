"""How much of success, cost and latency comes with the harness, the model, the task, and what with none of them.

    read_file(path) or read_store(con)  →  as_table(frame, columns)  →  compare(table)  →  Comparison

Works on any table of runs: CSV, Parquet, JSON lines, or the store. ``docs/compare.md`` says what each number means.
"""

from .build import Comparison, compare
from .columns import ColumnError
from .frontier import Frontier, cost_frontier
from .gap import Gap, harness_gaps
from .scorecard import DIMENSIONS, Score, scorecard
from .shares import Component, Shares, variance_shares
from .table import Table, as_table, read_file, read_store
from .text import print_scores, print_text
from .versions import Version, versions

__all__ = [
    "DIMENSIONS",
    "ColumnError",
    "Comparison",
    "Component",
    "Frontier",
    "Gap",
    "Score",
    "Shares",
    "Table",
    "Version",
    "as_table",
    "compare",
    "cost_frontier",
    "harness_gaps",
    "print_scores",
    "print_text",
    "read_file",
    "read_store",
    "scorecard",
    "variance_shares",
    "versions",
]
