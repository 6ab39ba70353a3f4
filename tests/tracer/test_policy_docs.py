"""docs/policy.md: its example is a policy, and its numbers are those of the code."""

from __future__ import annotations

import json
import re
from pathlib import Path

from trimtab_tracer import (
    budgets,
    caps,
    delivery,
    detours,
    policy,
    policy_json,
    policy_remote,
    policy_source,
    policy_values,
    verifiers,
)
from trimtab_tracer.body_knobs import THINKING_BUDGETS
from trimtab_tracer.errors import PolicyError
from trimtab_tracer.policy import parse

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "policy.md").read_text(encoding="utf-8")


def example() -> str:
    """The page's one document."""
    (text,) = re.findall(r"```json\n(.*?)```", PAGE, re.S)
    return str(text)


def test_the_example_is_a_policy() -> None:
    """It parses at the time it was issued, with all of its rules."""
    document = json.loads(example())
    found = parse(example().encode(), document["issued_ns"])
    assert [rule["rule_id"] for rule in document["rules"]] == [rule.rule_id for rule in found.rules]


def test_the_quoted_refusal_is_what_the_code_says() -> None:
    """The sentence that the page shows is the code's own."""
    try:
        policy.check_value("max_retries", 99, "rules[3].value")
    except PolicyError as error:
        said = str(error)
    assert f"the policy is refused: {said.rstrip('.')}; your code's own values hold." in PAGE


def test_the_check_of_the_page_is_one() -> None:
    """The code that the page shows registers a check, which judges answers as it says."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    try:
        exec(code, {})
        answers = [verifiers.Answer(text, (), "stop", {}, {}) for text in ("so it is [1]", "so it is")]
        found = [verifiers.verifiers.failed(["cites_a_source"], answer) for answer in answers]
    finally:
        verifiers.verifiers._own.clear()
    assert [None, "cites_a_source"] == found


def test_every_knob_key_and_class_is_on_the_page() -> None:
    """Each steerable knob has a row, each key of a document or rule is named, each error class listed."""
    assert set(policy.STEERABLE) <= set(re.findall(r"^\| `(\w+)` \|", PAGE, re.M))
    document = json.loads(example())
    keys = {key for rule in document["rules"] for key in (*rule, *rule["match"])}
    words = {*policy_values.RETRY_CLASSES, *policy_values.EFFORTS, *policy_values.CACHE_LIFETIMES, *verifiers.BUILT_IN}
    for name in {*document, *keys, *words, *policy.When.__match_args__, *policy.Match.__match_args__}:
        assert f"`{name}`" in PAGE, name


def test_the_numbers_are_those_of_the_code() -> None:
    """Limits and caps on the page follow from constants, so that neither moves alone."""
    for sentence in (
        f"whole number from 1 to {policy.MAX_LIFETIME_S} ",
        f"at most {policy.MAX_AHEAD_NS // 10**9} s ahead",
        f"| `rules` | at most {policy.MAX_RULES} |",
        f"2 to {policy.MAX_ARMS} objects",
        f"`weight` from {policy.MIN_WEIGHT} to {policy.MAX_WEIGHT};",
        f"more than {policy.MAX_BYTES}\nbytes",
        f"number from 0.1 to {policy_values.MAX_TIMEOUT_S:g}, or an object of one or more of `total`",
        f"whole number from 0 to {policy_values.MAX_RETRIES_WRITTEN}, or",
        f"(0 to {policy_values.MAX_BACKOFF_S:g})",
        f"list of 1 to {policy_values.MAX_FALLBACK_MODELS} models",
        f"whole number from 1 to {policy_values.MAX_OUTPUT_TOKENS} ",
        f"number from 0 to {policy_values.MAX_TEMPERATURE:g} ",
        f"list of 1 to {policy_values.MAX_CHECKS} [checks]",
        f"object of 1 to {policy.MAX_CONTEXT} attributes",
        f"at most {verifiers.TIMEOUT_S:g} s,",
        f"For {detours.LEFT_S:g} s after",
        "efforts are " + ", ".join(map(str, THINKING_BUDGETS.values())).replace(", 32000", " and 32000"),
        f"at most {policy_values.MAX_DECLARED_BYTES} bytes",
        f"number from {policy_values.MIN_HEDGE_DELAY_S} to {policy_values.MAX_HEDGE_DELAY_S:g}: a second",
        f"`capacity` (0 to {policy_values.MAX_BUDGET}), `retry_cost` and `timeout_cost`"
        f" (1 to {policy_values.MAX_COST})",
        f"`failures` (whole number from 1 to {policy_values.MAX_BREAKER_FAILURES})",
        f"`window_s` (1 to {policy_values.MAX_WINDOW_S:g}), `open_s` ({policy_values.MIN_OPEN_S} to"
        f" {policy_values.MAX_OPEN_S:g})",
        f"whole number from 1 to {policy_values.MAX_PLACES}: requests at once",
        f"| second requests of a process, per first one | {budgets.HEDGE_SHARE} |",
        f"| wait for a place under `max_concurrency` | {delivery.MAX_QUEUE_S:g} s |",
        f"| retries of a call | {caps.MAX_RETRIES} |",
        f"| a single pause before a retry | {caps.MAX_DELAY_S:g} s |",
        f"| all pauses of a call | {caps.MAX_CALL_DELAY_S:g} s |",
        f"at once | {caps.MAX_IN_FLIGHT} |",
        f"within an hour | {caps.MAX_TOKENS_PER_HOUR} |",
        f"at most every {policy_source.LOOK_INTERVAL_S} s",
        f"wait_s={policy_remote.WAIT_S}`",
        f"every {policy_remote.MAX_PAUSE_S:g} seconds",
    ):
        assert sentence in PAGE, sentence
    decision = (DOCS / "decisions" / "0006-policy-as-data.md").read_text(encoding="utf-8")
    assert f"256 KiB, {policy.MAX_RULES} rules, {policy_json.MAX_DEPTH} levels" in decision
    later = (DOCS / "decisions" / "0029-detours-and-conditions.md").read_text(encoding="utf-8")
    assert f"{policy.MAX_CONTEXT} attributes per rule, {policy_values.MAX_CHECKS} checks per escalation" in later
    assert f"{verifiers.MAX_HANGING} of them at once" in later
