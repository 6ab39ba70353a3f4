"""Records of processes and runs: who ran, from which line, and what came of it.

Apart from the others because a run is there without any call, and is judged and undone after it. What holds for all
records is said in :mod:`.records`, which is what others import.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any

from .shapes import value_class

SCHEMA_VERSION = 1
"""Version of the shapes of all records; stored in the :class:`Process` record that opens every segment."""


@value_class
class Process:
    """One life of one agent process. The first record of every segment it writes."""

    process_id: str
    """Random; a reused operating-system pid gets another one."""
    pid: int
    ts_ns: int
    """When tracing started in this process."""
    service: str
    """Name of the agent, from the settings; the script's name by default."""
    script: str
    cwd: str
    python: str
    trimtab: str
    """Our own version."""
    content_mode: str
    """``off | redacted | full``: what this process was told to keep."""
    boot_id: str = ""
    """Identity of the machine's boot; with ``pid`` it tells a dead writer from a living one."""
    is_child: bool = False
    """Forked or spawned by another Python process (a pool's worker): others end it as they see fit."""
    schema_version: int = SCHEMA_VERSION


@value_class
class Harness:
    """Version of the code around the model: what the user named, else the git commit and a dirty mark."""

    process_id: str
    version: str


@value_class
class RunStart:
    """A run began: one execution of an agent on one task."""

    run_id: str
    process_id: str
    ts_ns: int
    name: str
    origin: str
    """``explicit`` (``with trimtab.run()``), ``process`` (none was declared: the process is the run) or ``import``. The
    store also knows ``rebuilt``: one of several that a process's run was found to hold (:mod:`.rebuild`)."""
    parent_run_id: str | None = None
    task: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    harness: str | None = None
    service: str | None = None
    """Overrides the process's service (importers)."""
    annotations: dict[str, Any] = field(default_factory=dict)
    """Labels that came with an imported run, for people and benchmarks, never for rules; left out where empty."""


@value_class
class RunEnd:
    """A run ended."""

    run_id: str
    ts_ns: int
    status: str
    """``ok | error``: whether an exception left the run. Says nothing about the answer being right."""
    rule: str
    """What told us that it ended: ``block exit | process exit | import``."""
    error_type: str | None = None
    error_message: str | None = None
    site_id: str | None = None
    """The user's line that the exception left through."""


@value_class
class Site:
    """A place in the user's code that made a choice. Written once per process before its first use, and once more when
    the first request from there shows the packages between."""

    site_id: str
    """Digest of file, function and the statement's text: survives edits elsewhere in the file."""
    file: str
    """Relative to the working directory where it lies below it, else absolute."""
    function: str
    """Qualified name, ``<module>`` at the top level."""
    line: int
    end_line: int
    source: str
    """The statement's lines, dedented and redacted; empty where the source can't be read."""
    owner: str = "user"
    """``user`` or ``library``: the latter where no frame of the user's own code was found."""
    via: tuple[str, ...] = ()
    """Installed packages between this line and the request, the outermost first, as its first request passed through
    them: a loop around the SDK is in one of them, or in the user's own code. Empty where no request was seen."""


@value_class
class Outcome:
    """What came of a run."""

    outcome_id: str
    run_id: str
    ts_ns: int
    success: bool | None
    score: float | None = None
    source: str = "explicit"
    """``explicit | evaluator | inferred``; inferred never overwrites explicit."""
    comment: str | None = None
    after_call_id: str | None = None
    """Where no run was named or declared: the LLM call made last by the code that says it."""
    evaluator: str | None = None
    """Name of the evaluator that says it."""
    evaluator_version: str | None = None


@value_class
class SagaStep:
    """What became of one side effect of a failed run. Written when it is known."""

    saga_id: str
    number: int
    """From 1, in the order of undoing: the effect that was completed last comes first."""
    run_id: str
    tool: str
    status: str
    """``compensated``; ``failed``: the compensation raised; ``undeclared``: the tool has none; ``unknown``: the tool
    was cancelled or still ran; ``not_done``: the tool raised, so there is nothing to undo; ``not_run``: an interrupt
    came."""
    ts_ns: int
    duration_ns: int
    """Of the compensation; 0 where it was not called."""
    tool_run_id: str | None = None
    """The execution that is undone (:class:`ToolRun`)."""
    compensation: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    site_id: str | None = None
    """The compensation's definition."""


@value_class
class Saga:
    """The compensations of one failed run, after they ran."""

    saga_id: str
    run_id: str
    process_id: str
    ts_ns: int
    duration_ns: int
    cause: str
    """Why the run counts as failed: ``exception | outcome``."""
    outcome: str
    """``compensated | partly | failed | nothing to do``, over all steps but those that are ``not_done``."""
    steps: int
    """How many :class:`SagaStep` belong to it."""
