"""Which call a span tells of: the rules by which the same LLM call, seen several times, stays one.

In: the call spans and the attempts around a moment. Out: for each span what stands inside it, an attempt or another
span, and by which rule; nothing where it is all there is of its call. Apart from :mod:`.span_calls` because it is
an algorithm over sets: the result depends neither on the order in which they came nor on what was decided before.

The rules, the surest first. Each looks only at what overlaps the span in time:

1. *response id*: an attempt with the same one, which the provider made;
2. *request id*: the same of the provider's request id;
3. *parentage*: an attempt that was sent while the span was the current one, or a call span that is its child;
4. the same among spans: another span with its id, and what is known of that; the call span around it, if that has the
   same tokens and model;
5. *containment*: an attempt, then a span, of the same process that lies within it in time, has exactly its tokens
   and no other model;
6. the same with an attempt whose tokens are estimated, where it is of the only call within the span, and no other span
   may tell of it but those around this one.

A span around several (a framework that tries a second model) tells of the last one. What is inside is always later
or shorter than what is around it, so following it ends.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

SLACK_NS: Final = 2_000_000_000
"""How far apart two views of one moment may be: another process's clock, a span that ends before its stream does."""

LEAD_NS: Final = 50_000_000
"""How much earlier than its span an attempt of it may begin: some instrumentors make the span afterwards."""


class Sent(NamedTuple):
    """An attempt that was seen on the wire."""

    attempt_id: str
    call_id: str
    process_id: str
    started_ns: int
    ended_ns: int
    trace_id: str | None = None
    span_id: str | None = None
    response_id: str | None = None
    request_id: str | None = None
    model: str | None = None
    response_model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    is_estimated: bool = False
    """Whether its tokens were, and are not given here."""


class Told(NamedTuple):
    """A span about a call."""

    span_key: str
    trace_id: str
    span_id: str
    parent_span_id: str | None
    process_id: str
    started_ns: int
    ended_ns: int
    response_id: str | None = None
    request_id: str | None = None
    model: str | None = None
    response_model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class Inside(NamedTuple):
    """What stands inside a span."""

    key: str
    """``attempt_id`` or ``span_key``."""
    rule: str
    """``response id | request id | parentage | containment``."""
    call_id: str | None
    """Of an attempt; None where it is a span."""


class Views:
    """The attempts and call spans around a moment, to be asked what stands inside a span.

    Args:
        attempts: Those that were seen on the wire; all that overlap the spans asked about, in any order.
        spans: The same of spans.
    """

    def __init__(self, attempts: Iterable[Sent], spans: Iterable[Told]) -> None:
        self._attempts = sorted(attempts, key=_age)
        self._spans = sorted(spans, key=_age)
        self._attempts_of = _by_names(self._attempts, ("response_id", "request_id", "span_id"))
        self._spans_of = _by_names(self._spans, ("response_id", "request_id", "span_id", "parent_span_id"))

    def inside(self, span: Told) -> Inside | None:
        """What stands inside ``span``; None where it is all there is of its call."""
        children = self._spans_of.get(("parent_span_id", span.span_id), ())
        return (
            self._attempt_in(span)
            or _found("parentage", [s for s in _of_trace(span, children) if _in(span, s)])
            or self._same_call(span)
            or self._parents_attempt(span)
            or _found("containment", _within(span, self._attempts))
            or _found("containment", _within(span, self._spans))
            or _found("containment", self._uncounted_in(span))
        )

    def _attempt_in(self, span: Told) -> Inside | None:
        """The attempt that a span certainly tells of."""
        sent = self._attempts_of.get(("span_id", span.span_id), ())
        return _found(*_same_id(span, self._attempts_of)) or _found("parentage", _of_trace(span, sent))

    def _same_call(self, span: Told) -> Inside | None:
        """A span with the same id: the attempt in it, or it itself where it stands further inside."""
        rule, same = _same_id(span, self._spans_of)
        in_others = (self._attempt_in(other) for other in sorted(same, key=_age, reverse=True))
        attempt = next((found for found in in_others if found is not None), None)
        if attempt is not None:
            return attempt._replace(rule=rule)
        return _found(rule, [s for s in same if _in(span, s)])

    def _uncounted_in(self, span: Told) -> list[Sent]:
        """The attempt that can only be this span's, though its tokens are estimated."""
        held = [a for a in _begun_in(span, self._attempts) if _lies_within(span, a)]
        if len({a.call_id for a in held}) != 1:
            return []
        sent = held[-1]
        if not (sent.is_estimated and _may_agree(span, sent)):
            return []
        last = bisect_right(self._spans, sent.started_ns + LEAD_NS, key=lambda view: view.started_ns)
        others = (s for s in self._spans[:last] if sent.started_ns <= s.ended_ns and s.span_key != span.span_key)
        current = (sent.trace_id, sent.span_id)
        claims = (s for s in others if _lies_within(s, sent) or (s.trace_id, s.span_id) == current)
        return [sent] if all(_within(s, [span]) for s in claims) else []

    def _parents_attempt(self, span: Told) -> Inside | None:
        """The attempt that the call span around this one tells of, where both say the same."""
        parents = self._spans_of.get(("span_id", span.parent_span_id or ""), ())
        found = [inside for p in _of_trace(span, parents) if _agree(span, p) and (inside := self._attempt_in(p))]
        return found[0]._replace(rule="parentage") if found else None


_ByNames: TypeAlias = dict[tuple[str, str], list[Any]]


def _by_names(views: Iterable[Sent] | Iterable[Told], names: tuple[str, ...]) -> _ByNames:
    found: _ByNames = defaultdict(list)
    for view in views:
        for name in names:
            if (value := getattr(view, name)) is not None:
                found[name, value].append(view)
    return found


def _found(rule: str, views: Sequence[Sent] | Sequence[Told]) -> Inside | None:
    """The last of ``views``."""
    if not views:
        return None
    view = max(views, key=_age)
    if isinstance(view, Sent):
        return Inside(view.attempt_id, rule, view.call_id)
    return Inside(view.span_key, rule, None)


def _same_id(span: Told, views: _ByNames) -> tuple[str, list[Any]]:
    """The surest rule by which ``views`` hold the span's id, and those that do."""
    for rule, name in (("response id", "response_id"), ("request id", "request_id")):
        found = views.get((name, getattr(span, name) or ""), ())
        same = [v for v in found if _overlap(span, v) and getattr(v, "span_key", "") != span.span_key]
        if same:
            return rule, same
    return "", []


def _of_trace(span: Told, views: Iterable[Any]) -> list[Any]:
    return [v for v in views if v.trace_id == span.trace_id and _overlap(span, v)]


def _within(span: Told, views: Sequence[Any]) -> list[Any]:
    """Those that lie within the span and agree with it; ``views`` are in the order of their start."""
    return [v for v in _begun_in(span, views) if _in(span, v) and _lies_within(span, v) and _agree(span, v)]


def _begun_in(span: Told, views: Sequence[Any]) -> Sequence[Any]:
    first = bisect_left(views, span.started_ns - LEAD_NS, key=lambda view: view.started_ns)
    # not at its end: where times are whole seconds, that is the next call
    last = bisect_left(views, max(span.ended_ns, span.started_ns + 1), key=lambda view: view.started_ns)
    return views[first:last]


def _in(span: Told, view: Sent | Told) -> bool:
    """Whether ``view`` may stand inside: inner spans begin later, or end earlier, or are told apart by their keys."""
    return isinstance(view, Sent) or _age(view) > _age(span)


def _age(view: Sent | Told) -> tuple[int, int, str]:
    """Later ones are greater, and of two that began together the shorter one."""
    return (view.started_ns, -view.ended_ns, view.attempt_id if isinstance(view, Sent) else view.span_key)


def _overlap(span: Told, view: Sent | Told) -> bool:
    return view.started_ns <= span.ended_ns + SLACK_NS and view.ended_ns >= span.started_ns - SLACK_NS


def _lies_within(span: Told, view: Sent | Told) -> bool:
    # two spans without tokens always have the same ones, so time alone tells a call from the one beside it
    is_counted = isinstance(view, Sent) or (span.input_tokens, span.output_tokens) != (None, None)
    return view.process_id == span.process_id and view.ended_ns <= span.ended_ns + (SLACK_NS if is_counted else 0)


def _agree(span: Told, view: Sent | Told) -> bool:
    """Whether two views have the same tokens, and ids and models that may be the same."""
    tokens = (span.input_tokens, span.output_tokens)
    return tokens == (view.input_tokens, view.output_tokens) and _may_agree(span, view)


def _may_agree(span: Told, view: Sent | Told) -> bool:
    if span.response_id is not None and view.response_id is not None:
        return False  # different ones, or the rules before had found them
    ours, theirs = {span.model, span.response_model} - {None}, {view.model, view.response_model} - {None}
    return not ours or not theirs or not ours.isdisjoint(theirs)
