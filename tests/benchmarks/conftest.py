"""Makes the benchmarks' package importable; last in the path, for `coverage` is also the name of another's."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
