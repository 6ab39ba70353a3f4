"""Rules about requests and tools that were refused for what was asked: no permission, not there, too long.

In: attempts, and what tool answers look like. Out: blame on what the request or the tool was given. The first refusal
is theirs; that the same request was sent again is :func:`.requests.futile_retry`'s. A tool that is refused or finds
nothing is part of an agent's work, so it is blamed only in runs that failed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import polars as pl

from .. import facts
from ..case import Blame, Case
from ..wording import a, count, of, quoted, were
from .places import client, definition, moved
from .shares import fate, lost_calls, mark_lost, share


def _refusals(case: Case, knob: str, error_class: str, subject: str, advice: str, what: str) -> Iterator[Blame]:
    hit = (pl.col("error_class") == error_class) & pl.col("futile").is_null()
    groups = case.groups(mark_lost(case, case.attempts, hit), knob, hit=hit, subject=pl.col(subject))
    if error_class == "auth":  # the key was given where the client was made
        groups = moved(groups, client(case))
    for group in groups:
        lost, status = lost_calls(group), group.hits["http_status"].drop_nulls()
        said = quoted(next(iter(group.hits["error_message"].drop_nulls()), None))
        code = f" (HTTP {status[0]})" if len(status) else ""
        yield Blame(
            group,
            f"{of(group.n_hit, group.n_exposed, 'call')} to {group.subject or 'the model'} {were(group.n_hit)} refused:"
            f" {what}{code}; {fate(group.n_hit, lost)}" + (f": {said}" if said else ""),
            advice.format(place=case.place(group.site_id), subject=group.subject or "the model"),
            {**share(group), "lost_calls": lost},
        )


def _tools_that_look(case: Case, knob: str, look: str, advice: str, what: str) -> Iterator[Blame]:
    rows = facts.steps(case).filter(pl.col("call_id").is_not_null() & pl.col("is_lost"))
    hit = (pl.col("looks") == look) & ~pl.col("is_broken") & pl.col("repeats").is_null()
    for group in moved(case.groups(rows, knob, hit=hit, subject=pl.col("name")), definition):
        said = quoted(next(iter(group.hits["error_message"].drop_nulls()), None))
        yield Blame(
            group,
            f"{of(group.hits.height, group.exposed.height, 'call')} of the tool {group.subject} in"
            f" {count(group.hits['run_id'].n_unique(), 'run')} that failed {what}" + (f": {said}" if said else ""),
            advice.format(place=case.place(group.site_id), subject=group.subject),
            {"hit": group.hits.height, "of": group.exposed.height},
        )


def auth(case: Case, knob: str) -> Iterator[Blame]:
    """Requests whose key was not accepted, and tools that were denied what they asked for."""
    yield from _refusals(
        case,
        knob,
        "auth",
        "host",
        "Set a key at {place} that {subject} accepts, check it before the run, and stop at once where it is refused.",
        "the key was not accepted",
    )
    yield from _tools_that_look(
        case,
        "tools",
        "denied",
        "Give {subject} the rights that it needs at {place}, or offer a tool that has them.",
        "met a refusal (401, 403, permission denied)",
    )


def not_found(case: Case, knob: str) -> Iterator[Blame]:
    """Requests for a model or address that is not there, and tools that were given paths that are not."""
    yield from _refusals(
        case,
        knob,
        "not_found",
        "model",
        "Name a model at {place} that the provider has; it has no {subject} for this key and address.",
        "there is no such model or address",
    )
    yield from _tools_that_look(
        case,
        "tools",
        "absent",
        "Let the agent list what there is before {subject} is called at {place}, or check its paths there.",
        "asked for what was not there",
    )


PARAMETER: Final = (
    r"(?i)(?:un(?:supported|recogni[sz]ed|known|expected)|invalid|not supported|not allowed|out of range|must be)"
)
"""Words with which a provider turns a parameter down."""
PARAMETERS: Final = (
    *(
        "cache_control",
        "frequency_penalty",
        "input",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_output_tokens",
    ),
    *(
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "n",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
    ),
    *("response_format", "seed", "service_tier", "stop", "stop_sequences", "store", "stream", "stream_options"),
    *("temperature", "thinking", "tool_choice", "tools", "top_k", "top_logprobs", "top_p", "verbosity"),
)
"""Parameters of the providers' APIs: what else a sentence quotes is a value, or a name of the agent's own."""
_ANY: Final = "|".join(PARAMETERS)
NAMED: Final = rf"['\"`]({_ANY})(?:[.\[][^'\"`]*)?['\"`]|^({_ANY})\b|schema for (response_format)"
"""Where such a sentence names one."""
FUNCTION: Final = r"(?i)schema for function|function\.parameters"
"""What it says of a tool's definition."""
SAME_AS: Final = {
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "stop_sequences": "stop",
    "tool_choice": "tools",
    "response_format": "prompt_version",
    "messages": "compaction",
    "input": "compaction",
}
"""Knobs that a parameter of another name belongs to; the history is what the compaction leaves of it."""


def bad_parameter(case: Case, _: str) -> Iterator[Blame]:
    """Requests that the provider turned down for one parameter, which it names."""
    said = pl.col("error_message").fill_null("")
    hit = (pl.col("error_class") == "bad_request") & pl.col("futile").is_null() & said.str.contains(PARAMETER)
    parameter = pl.coalesce(*(said.str.extract(NAMED, group) for group in (1, 2, 3)))
    named = pl.when(said.str.contains(FUNCTION)).then(pl.lit("tools")).otherwise(parameter)
    rows = case.attempts.with_columns(named=pl.when(hit).then(named))
    rows = mark_lost(case, rows, pl.col("named").is_not_null())
    for named in rows["named"].drop_nulls().unique(maintain_order=True):
        for group in case.groups(rows, SAME_AS.get(named, named), hit=pl.col("named") == named, subject=pl.lit(named)):
            lost = lost_calls(group)
            yield Blame(
                group,
                f"{of(group.n_hit, group.n_exposed, 'call')} {were(group.n_hit)} refused for the parameter {named};"
                f" {fate(group.n_hit, lost)}: {quoted(group.hits['error_message'][0])}",
                f"Change {named} at {case.place(group.site_id)} to what the model takes, or leave it out.",
                {**share(group), "lost_calls": lost},
            )


def context_overflow(case: Case, knob: str) -> Iterator[Blame]:
    """Requests that were longer than the model's window."""
    rows = facts.answers(case)
    hit = (pl.col("error_class") == "context_overflow") & pl.col("futile").is_null()
    keep = ("is_failed", "input_tokens")
    for group in case.groups(mark_lost(case, rows, hit), knob, hit=hit, subject=pl.col("model"), keep=keep):
        lost = lost_calls(group)
        longest = group.hits["message_count"].max()
        fitted = group.exposed.filter(~pl.col("is_failed"))["input_tokens"].max()
        known = f" (up to {fitted:,} tokens fitted here)" if isinstance(fitted, int) and fitted else ""
        yield Blame(
            group,
            f"{of(group.n_hit, group.n_exposed, 'call')} to {group.subject or 'the model'} {were(group.n_hit)} too long"
            f" for its window; {fate(group.n_hit, lost)}",
            f"Summarise or cut the history at {case.place(group.site_id)} before it fills {a('window')}{known}, or send"
            " what is longer to a model with a larger one.",
            {**share(group), "lost_calls": lost, "most_messages": longest, "most_tokens_fitted": fitted},
        )
