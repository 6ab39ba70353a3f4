"""Runs an unmodified agent with tracing on: ``python under_trimtab.py agent.py [arguments]``.

In: a path. Out: whatever the agent does; its file is ``__main__`` and its own lines are the sites. Where
``COVERAGE_SPANS`` is set there is a global TracerProvider, as in a program with telemetry of its own, and we read it.
A file of its own because it is the only one that runs inside the agent's environment, where of ours is the tracer only.
"""

from __future__ import annotations

import os
import runpy
import sys

import trimtab

sys.argv = sys.argv[1:]
sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
trimtab.instrument()
if os.environ.get("COVERAGE_SPANS"):
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    trace.set_tracer_provider(TracerProvider())
    if hasattr(trimtab, "attach"):  # tracers without it are judged as well
        trimtab.attach()
runpy.run_path(sys.argv[0], run_name="__main__")
