"""What two calls say of each other: by which of their links one may continue the other.

In: calls and what they share. Out: rules by name, and whether each counts between two calls. Apart from
:mod:`.rebuild`, which weighs many calls against each other, because these answers are about two of them and their
nearest, and the shared traces (:mod:`.traces`) need them too.
"""

from __future__ import annotations

from typing import Final

from .call_graph import Call, Graph

RULES: Final = {
    "r": "response id",
    "k": "conversation key",
    "t": "tool call id",
    "s": "messages and answer",
    "f": "sent again",
    "a": "messages",
}
"""What a link is (its first letter), the surest first: a call continues the one that the surest link names."""

CONTEXT: Final = "context"
"""The rule of calls that follow each other in one context of the process and share no link."""

TRACE: Final = "trace"
"""The rule of calls that follow each other in one OpenTelemetry trace and share neither a link nor a context."""

UNLINKED: Final = frozenset({CONTEXT, TRACE})
"""Rules that need no link."""

AGAIN_WITHIN_NS: Final = 90 * 10**9
"""How soon a failed request is sent again by a loop around the SDK; later it is another attempt at the task."""


def may_follow(earlier: Call, later: Call) -> bool:
    """Whether two calls may belong together, in this order."""
    return earlier.pool == later.pool and earlier.position < later.position


def sound_kinds(kinds: set[str], earlier: Call, later: Call) -> set[str]:
    """The links between two calls that count."""
    sound = set(kinds)
    if earlier.process_id != later.process_id:
        sound -= {"f", "a"}
        if "s" not in sound:
            sound.discard("t")  # `call_0` is the id of a tool call in every process of some servers
    if earlier.state not in ("failed", "abandoned") or later.started_ns - earlier.ended_ns > AGAIN_WITHIN_NS:
        sound.discard("f")
    return sound


def is_linked(call: Call) -> bool:
    """Whether a link says which call this one continues."""
    return call.rule is not None and call.rule not in UNLINKED


def linked_children(graph: Graph, call: Call) -> list[Call]:
    """The calls that continue one by a link."""
    return [child for child in graph.find("parent", [call.call_id]) if is_linked(child)]


def waits(graph: Graph, turn: Call, root: Call) -> bool:
    """Whether a conversation was waiting, after this turn, when another one began."""
    children = [child for child in linked_children(graph, turn) if child.rule != RULES["f"]]
    if any(child.position > root.position for child in children):
        return True
    # Not continued yet. The same agent again, with the same tools, is rather the next task than a tool's doing.
    return turn.state == "waiting" and not children and turn.tools_digest != root.tools_digest
