"""``python -m trimtab_dashboard``: started by ``trimtab up``, which says on stdin what to show and where."""

from __future__ import annotations

from .server import Start, run

if __name__ == "__main__":
    run(Start.read())
