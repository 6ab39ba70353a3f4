"""Rules about what a conversation carries on: dropped, begun anew, or sent so that no cache can help.

In: answers in order of time, with how many messages their requests had and what those began with. Out: blame on what
assembles the history. Requests of one conversation share their system prompt and first user message; a server that
keeps the history itself (``previous_response_id``) is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import polars as pl

from .. import facts, load
from ..carved import is_cheaper_cached
from ..case import Blame, Case
from ..wording import count, of, were
from .shares import share
from .threads import before, threads

MIN_CACHED: Final = 1024
"""Input tokens from which providers cache a prefix."""
WARM_S: Final = 300
"""Seconds for which a cached prefix is kept at least."""
MISSED: Final = 0.1
"""Part of the input before that a request reads from the cache where it misses it."""
SAME_LENGTH: Final = 1.05
"""Longest first request beside the shortest that still look like one prompt with something filled in."""
CHANGES: Final = 3
"""Changes in a row that say that a prompt changes with every call."""

MAX_CREW: Final = 2000
"""Requests of a run up to which who told whom is followed: each message is held against all before it."""
ADDED: Final = 2
"""Messages by which a request that goes on after a tool call is longer than the one before: call and result."""

_THREAD = ("run_id", "process_id", "site_id", "prompt_digest", "opening")
_SENT = (
    *("run_id", "process_id", "call_id", "attempt_id", "site_id", "host", "model", "started_ns", "ended_ns"),
    *("call_ended_ns", "is_last", "is_failed", "is_lost", "asks", "prompt_digest", "tools_digest", "opening"),
    *("message_count", "continues_call_id", "compacted", "input_tokens", "cache_read_tokens"),
)
"""What is looked at of an answer: all columns of a million of them, sorted, take a gigabyte."""


def _sent(case: Case) -> pl.DataFrame:
    """The last attempts of conversational calls whose whole history was sent, in order of time."""
    is_sent = pl.col("is_last") & pl.col("is_text").fill_null(False) & (pl.col("message_count") > 0)
    return facts.answers(case).lazy().filter(is_sent, pl.col("previous_response_id").is_null()).select(_SENT).collect()


def resets(case: Case) -> pl.DataFrame:
    """:func:`_sent` with ``is_reset``, sorted by thread."""
    return case.once("resets", lambda: _resets(case))


def _resets(case: Case) -> pl.DataFrame:
    rows = threads(_sent(case), _THREAD)
    shrank = (before("message_count") > pl.col("message_count")) & pl.col("opening").is_not_null()
    if rows.filter(shrank).is_empty():
        return _beheaded(rows.with_columns(is_reset=pl.lit(False)))
    # of several agents with one task that take turns, the one that had more messages goes on later
    gone_on = rows["continues_call_id"].drop_nulls().unique().to_list()
    rows = rows.with_columns(is_continued=pl.col("call_id").is_in(gone_on))
    is_reset = (
        shrank
        & ~before("is_continued")
        & (pl.col("message_count") == pl.col("message_count").cum_min().over("thread"))
        & (before("asks") > 0)
        & ~before("is_failed")
        & (before("call_ended_ns") <= pl.col("started_ns"))
        & ~pl.col("compacted").fill_null(False)
    )
    return _beheaded(rows.with_columns(is_reset=is_reset.fill_null(False)))


def _beheaded(rows: pl.DataFrame) -> pl.DataFrame:
    """``rows`` where a request that goes on from another one without what that began with is a reset, too.

    It lacks messages of the one before, and either both its system prompt and its first user message, or, in a run
    that failed, the latter alone: whatever was to be kept, the task was not. A hand-off changes the prompt, a summary
    the first message (and says so), a window over a long talk moves on without harm.
    """
    earlier = rows.select(
        continues_call_id="call_id", had_prompt="prompt_digest", had_opening="opening", had_messages="message_count"
    ).unique("continues_call_id")
    joined = rows.join(earlier, on="continues_call_id", how="left", maintain_order="left")
    other_prompt = pl.col("prompt_digest").ne_missing(pl.col("had_prompt"))
    is_beheaded = (
        pl.col("had_prompt").is_not_null()
        & pl.col("had_opening").is_not_null()
        & (other_prompt | pl.col("is_lost"))
        & pl.col("opening").ne_missing(pl.col("had_opening"))
        & (pl.col("message_count") < pl.col("had_messages") + pl.when(other_prompt).then(0).otherwise(ADDED))
        & ~pl.col("compacted").fill_null(False)
    )
    joined = joined.with_columns(is_reset=pl.col("is_reset") | is_beheaded.fill_null(False))
    return joined.drop("had_prompt", "had_opening", "had_messages")


def conversation_reset(case: Case, knob: str) -> Iterator[Blame]:
    """Requests that begin a conversation anew or go on without its beginning, with no word for what was dropped."""
    for group in case.groups(resets(case), knob, hit=pl.col("is_reset"), subject=pl.lit("")):
        runs = group.hits["run_id"].n_unique()
        yield Blame(
            group,
            f"{count(group.n_hit, 'request')} began the conversation anew in the middle of the work, in"
            f" {count(runs, 'run')}",
            f"Keep the messages between the calls of {case.place(group.site_id)}, in a store if the process may go.",
            {"hit": group.n_hit, "of": group.n_exposed, "runs": runs},
        )


def cuts(case: Case) -> pl.DataFrame:
    """The first request of each run that lacks messages of the one it goes on from, or stands on a summary of them:
    ``run_id``, ``cut_ns``, ``is_lost``; runs whose conversation began anew are not among them."""

    def make() -> pl.DataFrame:
        sent = resets(case)
        fresh = sent.filter("is_reset")["run_id"].unique().to_list()
        had = sent.select(continues_call_id="call_id", had_messages="message_count", had_asks="asks")
        sent = sent.join(had.unique("continues_call_id"), on="continues_call_id", how="left", maintain_order="left")
        lacks = (pl.col("had_asks") > 0) & (pl.col("message_count") < pl.col("had_messages") + ADDED)
        sent = threads(
            sent.sort("started_ns", maintain_order=True), ["run_id", "process_id", "site_id", "prompt_digest"]
        )
        shrunk = pl.col("message_count") < before("message_count")
        is_cut = lacks.fill_null(False) | shrunk.fill_null(False) | pl.col("compacted").fill_null(False)
        found = sent.filter(is_cut & ~pl.col("run_id").is_in(fresh))
        return found.group_by("run_id").agg(cut_ns=pl.col("started_ns").min(), is_lost=pl.col("is_lost").first())

    return case.once("cuts", make)


def forgotten(case: Case) -> pl.DataFrame:
    """The tool calls of :func:`~.facts.steps` in runs whose history was cut, with ``is_asked_again``: whether what it
    asks had been asked before the cut; and ``is_told_again``: whether it was told the same."""
    rows = facts.steps(case).join(cuts(case).drop("is_lost"), on="run_id", how="inner", maintain_order="left")
    rows = rows.filter(pl.col("call_id").is_not_null())
    same = ["run_id", "name", "args_digest"]
    is_after = pl.col("at_ns") >= pl.col("cut_ns")
    asked_before = (~is_after).any().over(same)
    harmless = (pl.col("mutates") != True).fill_null(True)  # noqa: E712
    again = is_after & asked_before & harmless & pl.col("args_digest").is_not_null()
    is_told = pl.col("result_digest").is_not_null() & ~pl.struct(*same, "result_digest").is_first_distinct()
    return rows.with_columns(is_asked_again=again, is_told_again=again & is_told)


def lost_history(case: Case, knob: str) -> Iterator[Blame]:
    """Tool calls that ask again what was asked before the history was cut or summarised: in runs that failed, and in
    others where the answer was the same, too, so that nothing came of it."""
    if cuts(case).is_empty():
        return
    steps = forgotten(case)
    hit = pl.col("is_asked_again") & (pl.col("is_lost") | pl.col("is_told_again"))
    for group in case.groups(steps, knob, hit=hit, subject=pl.col("name")):
        runs = group.hits["run_id"].n_unique()
        repeats = group.hits.filter("is_told_again").height
        yield Blame(
            group,
            f"{count(group.hits.height, 'call')} of {group.subject} asked again, after the history was cut, what"
            f" had been asked before, in {count(runs, 'run')}" + (", and were told the same" if repeats else ""),
            f"Keep what tools found when the history is cut at {case.place(group.site_id)}: pin facts, drop talk.",
            {"hit": group.hits.height, "of": group.exposed.height, "runs": runs, "repeats": repeats},
            is_candidate=repeats == 0,
        )


def cache_miss(case: Case, knob: str) -> Iterator[Blame]:
    """Requests that read next to nothing from the provider's cache after their prompt or tools had changed.

    That the provider caches is known where a call at this model read from it, or where the prompt changed several times
    in a row, so that nothing could be read.
    """
    is_told = pl.col("is_answer") & pl.col("cache_read_tokens").is_not_null() & (pl.col("message_count") > 0)
    rows = facts.answers(case).lazy().filter(is_told).select(_SENT).collect()
    rows = threads(rows, ["run_id", "process_id", "site_id", "model"])
    grew = (pl.col("message_count") > before("message_count")) & (
        pl.col("started_ns") - before("ended_ns") < WARM_S * 10**9
    )
    new_prompt = pl.col("prompt_digest").ne_missing(before("prompt_digest"))
    new_tools = pl.col("tools_digest").ne_missing(before("tools_digest"))
    was_large = (before("input_tokens") >= MIN_CACHED) & (pl.col("input_tokens") >= MIN_CACHED)
    rows = rows.with_columns(
        changed=pl.when(grew & new_prompt).then(pl.lit(knob)).when(grew & new_tools).then(pl.lit("tools")),
        is_cold=was_large & (pl.col("cache_read_tokens") < MISSED * before("input_tokens")),
    )
    large_alone = pl.col("input_tokens") >= MIN_CACHED
    if rows.filter(pl.col("is_cold") | (pl.col("cache_read_tokens") > 0) | large_alone).is_empty():
        return
    warm = rows.filter(pl.col("cache_read_tokens") > 0).select("host", "model").unique().with_columns(caches=True)
    rows = rows.join(warm, on=["host", "model"], how="left", nulls_equal=True, maintain_order="left")
    changes = pl.all_horizontal(pl.col("changed").is_not_null(), before("changed", CHANGES - 1).is_not_null())
    between = [before("changed", n).is_not_null() for n in range(1, CHANGES - 1)]
    in_a_row = rows.filter(pl.all_horizontal(changes, *between))["thread"].unique().to_list()
    goes_on = (pl.col("continues_call_id") == before("call_id")).fill_null(False)
    each_time = pl.when(grew & goes_on).then(pl.col("changed").is_not_null())
    of_place = (each_time.all() & (each_time.sum() >= CHANGES)).over("site_id", "model")
    always = pl.col("thread").is_in(in_a_row) | of_place
    rows = rows.with_columns(hit=(pl.col("is_cold") & (pl.col("caches").fill_null(False) | always)).fill_null(False))
    for changed, noun in ((knob, "prompt"), ("tools", "set of tools")):
        hit = pl.col("hit") & (pl.col("changed") == changed).fill_null(False)
        for group in case.groups(rows, changed, hit=hit, subject=pl.col("model")):
            lost = int((group.hits["input_tokens"] - group.hits["cache_read_tokens"]).sum())
            yield Blame(
                group,
                f"{of(group.n_hit, group.n_exposed, 'answer')} of {group.subject or 'the model'}"
                f" {were(group.n_hit)} read"
                f" without the cache after the {noun} had changed ({lost:,} input tokens)",
                f"Keep the {noun} at {case.place(group.site_id)} the same from call to call: put what changes (a"
                " date, a counter) after what stays.",
                {**share(group), "uncached_tokens": lost},
            )
    yield from _from_run_to_run(case, knob, rows)


def _from_run_to_run(case: Case, knob: str, rows: pl.DataFrame) -> Iterator[Blame]:
    """First requests of conversations that could share their beginning and do not: as long as one another, with the
    same tools, soon after one another, each with a prompt of its own, at a provider that caches."""
    firsts = rows.filter(pl.col("continues_call_id").is_null() & pl.col("prompt_digest").is_not_null())
    firsts = firsts.unique(["thread", "prompt_digest"], keep="first", maintain_order=True).sort("started_ns")
    place, length = ["site_id", "model", "tools_digest"], pl.col("input_tokens")
    is_soon = pl.col("started_ns") - pl.col("ended_ns").shift() < WARM_S * 10**9
    alike = (
        (pl.len() > CHANGES + 1)
        & (pl.col("prompt_digest").n_unique() == pl.len())
        & (length.min() >= MIN_CACHED)
        & (length.max() <= SAME_LENGTH * length.min())
    )
    is_cold = pl.col("cache_read_tokens") < MISSED * length
    firsts = firsts.with_columns(hit=(alike.over(place) & is_soon.over(place) & is_cold).fill_null(False))
    caches = pl.col("caches").fill_null(False) | pl.col("attempt_id").is_in(_with_cache_price(case, firsts))
    hit = pl.col("hit") & caches
    for group in case.groups(firsts.with_columns(hit=hit), knob, hit=pl.col("hit"), subject=pl.lit("from run to run")):
        yield Blame(
            group,
            f"{of(group.n_hit, group.n_exposed, 'conversation')} began without the cache: the prompt is another one"
            " each time, as long as the one before",
            f"Put what differs from run to run (a date, a name, a number) behind what stays, at"
            f" {case.place(group.site_id)}.",
            {
                **share(group),
                "uncached_tokens": int((group.hits["input_tokens"] - group.hits["cache_read_tokens"]).sum()),
            },
            is_candidate=True,
        )


def _with_cache_price(case: Case, firsts: pl.DataFrame) -> list[str]:
    """The hits among ``firsts`` at providers that cache by themselves, by what their price list says: an OpenAI format,
    in which a count of cached tokens is reported, and a lower price for tokens that are read from the cache."""
    asked = firsts.filter(pl.col("hit") & pl.col("caches").is_null())
    of_each = asked.unique(["host", "model"], keep="first", maintain_order=True)
    if of_each.is_empty():
        return []
    priced = load.attempts_priced(case.con, of_each["attempt_id"]).filter(pl.col("api").str.starts_with("openai."))
    cheaper = [row["attempt_id"] for row in priced.iter_rows(named=True) if is_cheaper_cached(row)]
    models = of_each.filter(pl.col("attempt_id").is_in(cheaper)).select("host", "model")
    return asked.join(models, on=["host", "model"], how="semi", nulls_equal=True)["attempt_id"].to_list()


def withheld_info(case: Case, knob: str) -> Iterator[Blame]:
    """Values in an agent's final answer that no later request or answer of another agent in its failed run holds.

    Agents of a run are told apart by their prompts. The values are numbers, and identifiers with a digit in them.
    """
    rows = facts.answers(case).filter(pl.col("is_answer") & pl.col("is_lost") & pl.col("prompt_digest").is_not_null())
    rows = rows.filter(pl.col("prompt_digest").n_unique().over("run_id") >= 2)
    held = ["run_id", "prompt_digest"]
    finals = rows.filter((pl.col("asks") == 0) & (pl.col("values_out").list.len() > 0)).unique(
        held, keep="last", maintain_order=True
    )
    told = finals.select(*held, "attempt_id", said_ns="ended_ns", value="values_out").explode("value")
    later = pl.concat(
        rows.select(*held, "started_ns", value=name).explode("value") for name in ("values_out", "values_in")
    )
    others = rows.select("run_id", other="prompt_digest", other_ns="started_ns")
    followed = finals.join(others, on="run_id").filter(
        (pl.col("other") != pl.col("prompt_digest")) & (pl.col("other_ns") >= pl.col("ended_ns"))
    )
    passed = told.join(later.drop_nulls("value"), on=["run_id", "value"]).filter(
        (pl.col("prompt_digest") != pl.col("prompt_digest_right")) & (pl.col("started_ns") >= pl.col("said_ns"))
    )
    ids = set(followed["attempt_id"]) - set(passed["attempt_id"])
    for group in case.groups(rows, knob, hit=pl.col("attempt_id").is_in(list(ids)), subject=pl.lit("")):
        values = int(group.hits["values_out"].list.len().sum())
        yield Blame(
            group,
            f"{count(group.n_hit, 'answer')} of one agent to another held {count(values, 'value')}, none of which"
            " was seen again in the run, which failed",
            f"Hand over what {case.place(group.site_id)} found field by field, not in free text.",
            {"hit": group.n_hit, "of": group.n_exposed, "values": values},
        )
    yield from _half_handed_over(case, knob)


def _half_handed_over(case: Case, knob: str) -> Iterator[Blame]:
    """First messages to an agent that hold a part of what another one had just handed over; at lines and for agents
    where that happens in failed runs more often than in others."""
    rows = facts.answers(case).filter(pl.col("prompt_digest").is_not_null())
    is_crew = (pl.col("prompt_digest").n_unique() >= 2).over("run_id")
    rows = rows.filter(is_crew & (pl.len().over("run_id") <= MAX_CREW))
    told = rows.filter(pl.col("words_out").list.len() > 0).select(
        "run_id", "ended_ns", teller="prompt_digest", told="words_out"
    )
    heard = rows.filter(pl.col("words_in").list.len() > 0)
    pairs = heard.select("attempt_id", "run_id", "started_ns", "prompt_digest", "words_in").join(told, on="run_id")
    before_it = (pl.col("ended_ns") <= pl.col("started_ns")) & (pl.col("teller") != pl.col("prompt_digest"))
    shared = pl.col("told").list.set_intersection("words_in").list.len()
    pairs = pairs.filter(before_it & (shared > 0)).sort("ended_ns").unique("attempt_id", keep="last")
    kept_back = pl.col("told").list.set_difference("words_in").list.len()
    ids = pairs.filter(kept_back > 0)["attempt_id"].to_list()
    marked = heard.filter(pl.col("attempt_id").is_in(pairs["attempt_id"].to_list()))
    marked = marked.with_columns(is_half=pl.col("attempt_id").is_in(ids))
    of_lost, of_others = (pl.col("is_half").filter(which).mean() for which in (pl.col("is_lost"), ~pl.col("is_lost")))
    of_agent = ["site_id", "prompt_digest"]
    is_worse = (of_lost > of_others.fill_null(0.0)).over(of_agent)
    marked = marked.with_columns(hit=(pl.col("is_half") & pl.col("is_lost") & is_worse).fill_null(False))
    for group in case.groups(marked, knob, hit=pl.col("hit"), subject=pl.lit("in part")):
        yield Blame(
            group,
            f"{count(group.n_hit, 'first message')} to an agent held a part of what another one had handed over, in"
            " runs that failed",
            f"Hand over all of it at {case.place(group.site_id)}: what was left out, no later agent was told.",
            {"hit": group.n_hit, "of": group.n_exposed},
        )
