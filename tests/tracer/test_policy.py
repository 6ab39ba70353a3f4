"""The policy document: what parses, what refuses it, which rule holds, and how a run's value is drawn."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_tracer.errors import PolicyError
from trimtab_tracer.policy import (
    MAX_BYTES,
    MAX_RULES,
    NONE,
    Arm,
    Guardrails,
    Match,
    Policy,
    Rule,
    When,
    draw,
    parse,
    read_rule,
    to_document,
)

NOW_NS = 1_795_238_000_000_000_000

FIXED = {
    "rule_id": "rec-3f2a",
    "knob": "max_retries",
    "match": {"site": "ab12", "service": None},
    "sticky": "run",
    "source": "human",
    "value": 3,
}
ARMS = {
    "rule_id": "exp-91cc",
    "knob": "timeout_s",
    "match": {},
    "sticky": "run",
    "source": "experiment",
    "arms": [{"incumbent": True, "weight": 0.5}, {"value": 10.0, "weight": 0.5}],
}
DOCUMENT: dict[str, Any] = {
    "schema": 1,
    "version": 12,
    "issued_ns": NOW_NS,
    "lifetime_s": 3600,
    "frozen": False,
    "guardrails": {"max_retries": 2},
    "rules": [FIXED, ARMS],
}


def dump(document: object) -> bytes:
    """A document's bytes."""
    return json.dumps(document).encode()


def changed(path: tuple[str | int, ...], value: object) -> bytes:
    """The document with the value at ``path`` replaced, or added."""
    document = copy.deepcopy(DOCUMENT)
    at: Any = document
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return dump(document)


def without(*path: str | int) -> bytes:
    """The document without the key at ``path``."""
    document = copy.deepcopy(DOCUMENT)
    at: Any = document
    for step in path[:-1]:
        at = at[step]
    del at[path[-1]]
    return dump(document)


def refusal(text: bytes, now_ns: int = NOW_NS) -> str:
    """Why a document is refused."""
    with pytest.raises(PolicyError) as caught:
        parse(text, now_ns)
    return str(caught.value)


def test_a_document_is_what_it_says() -> None:
    """Every field arrives; a fixed value is one arm of weight 1, an incumbent arm has no value."""
    assert parse(dump(DOCUMENT), NOW_NS) == Policy(
        version=12,
        issued_ns=NOW_NS,
        lifetime_s=3600,
        is_frozen=False,
        rules=(
            Rule("rec-3f2a", "max_retries", Match(site="ab12"), "human", (Arm(3, 1.0),)),
            Rule("exp-91cc", "timeout_s", Match(), "experiment", (Arm(None, 0.5, is_incumbent=True), Arm(10.0, 0.5))),
        ),
        guardrails=Guardrails(max_retries=2),
    )


def test_a_policy_writes_the_document_it_is_read_from() -> None:
    """What :func:`to_document` gives reads back as an equal policy."""
    policy = parse(dump(DOCUMENT), NOW_NS)
    assert policy == parse(dump(to_document(policy)), NOW_NS)


def test_rules_about_runs_come_back_as_they_were() -> None:
    """Attributes of a run, its name and conditions are read and written; a rule without any says nothing of them."""
    when = {"previous_failed": True, "min_step": 2, "max_tokens": 9000}
    about = {**FIXED, "match": {"name": "triage", "context": {"tier": "gold", "size": "3"}}, "when": when}
    policy = parse(changed(("rules", 0), about), NOW_NS)
    match, read = policy.rules[0].match, policy.rules[0].when
    assert Match(name="triage", context=(("size", "3"), ("tier", "gold"))) == match
    assert When(previous_failed=True, min_step=2, max_tokens=9000) == read
    written = to_document(policy)
    assert policy == parse(dump(written), NOW_NS)
    assert {"site": None, "service": None, "model": None, **about["match"]} == written["rules"][0]["match"]
    assert when == written["rules"][0]["when"]
    assert ({"site", "service", "model"}, False) == (set(written["rules"][1]["match"]), "when" in written["rules"][1])


REFUSED = {
    changed(("rules", 0, "match"), {"context": {}}): "rules[0].match.context is an object of 0",
    changed(("rules", 0, "match"), {"context": {str(n): "x" for n in range(9)}}): "an object of 9, expected",
    changed(("rules", 0, "match"), {"context": {"tier": 3}}): "rules[0].match.context.tier is 3, expected a text",
    changed(("rules", 0, "match"), {"context": {"tier": "a\n"}}): "rules[0].match.context.tier is",
    changed(("rules", 0, "match"), {"context": {"at": "https://a.example"}}): "something with an address in it",
    changed(("rules", 0, "match"), {"name": ""}): 'rules[0].match.name is ""',
    changed(("rules", 0, "when"), {}): "rules[0].when is an empty object",
    changed(("rules", 0, "when"), {"step": 1}): "rules[0].when has the unknown key",
    changed(("rules", 0, "when"), {"min_step": -1}): "rules[0].when.min_step is -1",
    changed(("rules", 0, "when"), {"previous_failed": 1}): "rules[0].when.previous_failed is 1, expected true or false",
    changed(("rules", 0, "when"), {"min_step": 3, "max_step": 2}): "rules[0].when.min_step is 3, expected at most max",
    b"": "the document is no JSON at line 1, column 1",
    b"[1]": "the document is a list of 1, expected a JSON object",
    b"\xff{}": "no UTF-8 at byte 0",
    '{"schema": 1}'.encode("utf-16"): "no UTF-8",
    dump(DOCUMENT)[:-40]: "no JSON at line 1",
    b'{"schema": 1, "schema": 1}': 'the key "schema" is given twice',
    b'{"schema": NaN}': "NaN, expected a finite number",
    b'{"schema": -Infinity}': "-Infinity, expected a finite number",
    b'{"schema": 1e999}': '"1e999", expected a finite number',
    b'{"schema": ' + b"9" * 5000 + b"}": "5000 digits long",
    b'{"schema": "\\ud800"}': "schema is a text with half a character",
    b'{"\\udfff": 1}': "a key of the document is",
    b"[" * 100_000: "nested deeper than 12",
    b'{"rules": ' + b'[{"a": ' * 20_000: "nested deeper than 12",
    b" " * (MAX_BYTES + 1): f"{MAX_BYTES + 1} bytes long",
    without("frozen"): "the document lacks the key 'frozen'",
    changed(("rulez",), []): "the document has the unknown key \"rulez\". Did you mean 'rules'?",
    changed(("schema",), 2): "at most 1: it is from the future",
    changed(("schema",), True): "schema is true, expected a whole number",
    changed(("schema",), 1.0): "schema is 1.0, expected a whole number",
    changed(("version",), 0): "version is 0, expected a whole number from 1",
    changed(("version",), "12"): 'version is "12"',
    changed(("issued_ns",), NOW_NS + 61 * 10**9): f"issued_ns is {NOW_NS + 61 * 10**9}, which lies in the future",
    changed(("lifetime_s",), 604_801): "lifetime_s is 604801, expected a whole number from 1 to 604800",
    changed(("lifetime_s",), 60.0): "lifetime_s is 60.0",
    changed(("frozen",), 0): "frozen is 0, expected true or false",
    changed(("guardrails",), None): "guardrails is null, expected an object",
    changed(("guardrails", "max_retrys"), 1): "guardrails has the unknown key",
    changed(("guardrails", "max_retries"), -1): "guardrails.max_retries is -1",
    changed(("guardrails", "max_delay_s"), "1"): "guardrails.max_delay_s is",
    changed(("rules",), {}): "rules is an object of 0, expected a list",
    changed(("rules",), [FIXED] * (MAX_RULES + 1)): "rules is a list of 501",
    changed(("rules", 0), 3): "rules[0] is 3, expected an object",
    changed(("rules", 0, "valu"), 3): 'rules[0] has the unknown key "valu"',
    without("rules", 1, "match"): "rules[1] lacks the key 'match'",
    changed(("rules", 1, "rule_id"), "rec-3f2a"): 'rules[1].rule_id is "rec-3f2a", expected an id that no rule before',
    changed(("rules", 0, "rule_id"), "a b"): "rules[0].rule_id is",
    changed(("rules", 0, "rule_id"), "sk-abcdefghij0123456789"): "something that looks like a secret",
    changed(("rules", 0, "knob"), ["model"]): "rules[0].knob is a list of 1",
    changed(("rules", 0, "knob"), "a b"): 'rules[0].knob is "a b"',
    changed(("rules", 0, "match"), None): "rules[0].match is null",
    changed(("rules", 0, "match", "host"), "x"): 'rules[0].match has the unknown key "host"',
    changed(("rules", 0, "match", "model"), ""): "rules[0].match.model is",
    changed(("rules", 0, "match", "service"), "https://a.example"): "rules[0].match.service is something with",
    changed(("rules", 0, "sticky"), "call"): 'rules[0].sticky is "call", expected "run"',
    changed(("rules", 0, "source"), "code"): 'rules[0].source is "code"',
    changed(("rules", 0, "source"), "experiment"): "rules[0] is a rule of source \"experiment\" with 'value'",
    changed(("rules", 0, "arms"), []): "rules[0] is a rule of source \"human\" with 'value' and 'arms'",
    without("rules", 0, "value"): "neither 'value' nor 'arms'",
    changed(("rules", 0, "value"), 11): "rules[0].value is 11, expected a whole number from 0 to 10",
    changed(("rules", 1, "arms"), [{"value": 1.0, "weight": 0.98}]): "rules[1].arms is a list of 1",
    changed(("rules", 1, "arms", 0, "weight"), 0.6): "the sum of weights of rules[1].arms is 1.1",
    changed(("rules", 1, "arms", 0, "weight"), 0.01): "rules[1].arms[0].weight is 0.01, expected a number from 0.02",
    changed(("rules", 1, "arms", 0, "weight"), True): "rules[1].arms[0].weight is true",
    changed(("rules", 1, "arms", 0, "incumbent"), False): "rules[1].arms[0].incumbent is false, expected true",
    changed(("rules", 1, "arms", 0, "value"), 1.0): "rules[1].arms[0] is an arm with both",
    without("rules", 1, "arms", 1, "value"): "rules[1].arms[1] is an arm with neither",
    changed(("rules", 1, "arms", 1, "value"), 0): "rules[1].arms[1].value is 0, expected a number from 0.1",
    changed(
        ("rules", 1, "arms"), [{"value": 10, "weight": 0.5}, {"value": 10.0, "weight": 0.5}]
    ): "rules[1].arms[1] is the same as an arm before",
    changed(("rules", 1, "arms"), [{"incumbent": True, "weight": 0.5}] * 2): "the same as an arm before",
}


@pytest.mark.parametrize(("text", "expected"), REFUSED.items(), ids=range(len(REFUSED)))
def test_whatever_is_wrong_refuses_the_document_and_is_named(text: bytes, expected: str) -> None:
    """One sentence says where it is wrong, what was seen and what was expected."""
    said = refusal(text)
    assert expected in said
    assert said.endswith(".")
    assert len(said) < 400
    assert said.isascii() or "…" in said


def test_a_refusal_shows_no_secret_and_no_line_end() -> None:
    """What an error shows of a document is redacted, short and on one line, whatever stood there."""
    said = refusal(changed(("rules", 0, "source"), "sk-abcdefghij0123456789\nERROR forged line " + "x" * 10_000))
    assert 'rules[0].source is "[REDACTED]\\nERROR forged line' in said
    assert "\n" not in said
    assert len(said) < 200


def test_a_refusal_takes_no_time_to_speak_of() -> None:
    """Documents made to be slow cost no more than a few times what an honest one of that size costs."""
    honest = copy.deepcopy(DOCUMENT)
    honest["rules"] = [{**FIXED, "rule_id": f"r{i}"} for i in range(MAX_RULES)]
    usual_s = _least_s(lambda: parse(dump(honest), NOW_NS))
    for text in (
        b'"' * (MAX_BYTES - 1),
        b'"' + b'\\"' * (MAX_BYTES // 2 - 1),
        b'{"a": [' + b"[]," * (MAX_BYTES // 3 - 5) + b"[]]}",
        b"{" + b",".join(b'"%d": 0' % i for i in range(25_000)) + b', "0": 1}',
        changed(("rules", 0, "rule_id"), "x" * 200_000),
    ):
        assert _least_s(partial(refusal, text)) < 50 * usual_s


def _least_s(work: Callable[[], object]) -> float:
    """Processor seconds of the fastest of three: a collection of garbage may fall into any one."""
    taken = []
    for _ in range(3):
        started = time.thread_time()
        work()
        taken.append(time.thread_time() - started)
    return min(taken)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused_in_a_sentence(text: bytes) -> None:
    """Bytes from nowhere raise :class:`PolicyError` and nothing else."""
    assert refusal(text).endswith(".")


@given(st.data())
def test_a_document_with_broken_bytes_is_whole_or_refused(data: st.DataObject) -> None:
    """A document with bytes cut, put in or replaced is refused, or is still a document that says something else."""
    text = bytearray(dump(DOCUMENT))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=4))
    with suppress(PolicyError):
        policy = parse(bytes(text), NOW_NS)
        assert policy == parse(dump(to_document(policy)), NOW_NS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def _places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in children for place in _places(inner, (*path, key)))]


@given(st.sampled_from(_places(DOCUMENT)[1:]), JSON)
def test_a_document_with_any_value_anywhere_is_whole_or_refused(path: tuple[str | int, ...], value: object) -> None:
    """Any JSON in place of any value gives a policy that writes and reads back equal, or a refusal."""
    text = changed(path, value)
    with suppress(PolicyError):
        policy = parse(text, NOW_NS)
        assert policy == parse(dump(to_document(policy)), NOW_NS)


def test_a_rule_given_as_python_values_is_read_as_strictly() -> None:
    """What never went through JSON text (an API's body) is checked for what only Python can say."""
    assert parse(dump(DOCUMENT), NOW_NS).rules[0] == read_rule(FIXED)
    for value in (math.nan, {1: 2}, {"a": {1, 2}}, "\ud800", b"x", 10**40):
        with pytest.raises(PolicyError, match=r"value"):
            read_rule({**FIXED, "knob": "top_k", "value": value})


def test_a_policy_holds_until_its_lifetime_is_over() -> None:
    """The last nanosecond counts, the next does not; no policy never holds."""
    policy = parse(dump(DOCUMENT), NOW_NS)
    end_ns = NOW_NS + 3600 * 10**9
    assert [True, False] == [policy.holds_at(end_ns - 1), policy.holds_at(end_ns)]
    assert not NONE.holds_at(1)
    assert parse(dump(DOCUMENT), end_ns) == policy  # whether it still holds is another question


# --- which rule -----------------------------------------------------------------------------------------------------


def fixed(rule_id: str, **match: str) -> Rule:
    """A rule for ``timeout_s``."""
    return Rule(rule_id, "timeout_s", Match(**match), "human", (Arm(1.0, 1.0),))


def chosen(policy: Policy, knob: str = "timeout_s", model: str | None = "m") -> str | None:
    """Id of the rule for a call of agent ``shop`` at line ``call``, built at line ``built``."""
    rule = policy.rule(knob, ("call", "built"), "shop", model)
    return rule.rule_id if rule else None


def test_every_key_that_is_given_must_match() -> None:
    """A rule for another site, service or model is not for this call; one that names nothing is for every call."""
    for rule in (fixed("r", site="else"), fixed("r", service="else"), fixed("r", model="else", site="call")):
        assert chosen(Policy(1, 1, 1, rules=(rule,))) is None
    assert chosen(Policy(1, 1, 1, rules=(fixed("any"),))) == "any"
    assert chosen(Policy(1, 1, 1, rules=(fixed("any"),)), knob="model") is None
    assert chosen(Policy(1, 1, 1, rules=(fixed("r", model="m"),)), model=None) is None


def test_the_line_of_the_constructor_matches_too() -> None:
    """A site matches the call's line and the one the knob is pinned to."""
    assert chosen(Policy(1, 1, 1, rules=(fixed("r", site="built"),))) == "r"


@pytest.mark.parametrize("turned", [False, True])
def test_the_most_specific_rule_wins(turned: bool) -> None:
    """A site counts more than model and service together, a model more than a service, wherever the rule is listed."""
    order = [
        fixed("site", site="call"),
        fixed("model+service", model="m", service="shop"),
        fixed("model", model="m"),
        fixed("service", service="shop"),
        fixed("any"),
    ]
    for first in range(len(order)):
        rules = tuple(reversed(order[first:])) if turned else tuple(order[first:])
        assert order[first].rule_id == chosen(Policy(1, 1, 1, rules=rules))


def test_of_equals_the_first_listed_wins() -> None:
    """Two rules that match as well as each other: the document's order decides."""
    assert chosen(Policy(1, 1, 1, rules=(fixed("a"), fixed("b")))) == "a"
    assert chosen(Policy(1, 1, 1, rules=(fixed("b"), fixed("a")))) == "b"


def test_frozen_means_no_rule() -> None:
    """A frozen policy keeps its rules for the record and gives none."""
    policy = Policy(1, 1, 1, is_frozen=True, rules=(fixed("a"),))
    assert chosen(policy) is None
    assert frozenset() == policy.knobs
    assert frozenset({"timeout_s"}) == Policy(1, 1, 1, rules=(fixed("a"),)).knobs


# --- draws ----------------------------------------------------------------------------------------------------------

RUNS = [f"run-{i}" for i in range(10_000)]


def experiment(rule_id: str, *weights: float) -> Rule:
    """Arms 0, 1, … of these weights."""
    return Rule(rule_id, "top_k", Match(), "experiment", tuple(Arm(i, weight) for i, weight in enumerate(weights)))


def is_share(count: int, share: float, n: int) -> bool:
    """Whether ``count`` of ``n`` lies within 4.5 standard deviations of a binomial's mean: 1 in 150 000 does not."""
    return abs(count - share * n) <= 4.5 * math.sqrt(n * share * (1 - share))


def test_a_draw_is_the_hash_that_the_documentation_names() -> None:
    """Anyone can repeat a draw: first eight bytes of a SHA-256, as a share of 2**64, against the weights added up."""
    rule = experiment("exp-1", 0.2, 0.5, 0.3)
    for run_id in RUNS[:300]:
        u = int(hashlib.sha256(f"exp-1|{run_id}|ab12".encode()).hexdigest()[:16], 16) / 2**64
        expected = 0 if u < 0.2 else 1 if u < 0.7 else 2
        assert (expected, False, (0.2, 0.5, 0.3)[expected]) == draw(rule, run_id, "ab12")


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.02, 0.98), (0.1, 0.2, 0.3, 0.4), (0.125,) * 8])
def test_shares_are_the_weights(weights: tuple[float, ...]) -> None:
    """Over many runs each arm gets its share, within what chance allows."""
    counts = Counter(draw(experiment("exp-1", *weights), run_id, "ab12").value for run_id in RUNS)
    assert all(is_share(counts[i], weight, len(RUNS)) for i, weight in enumerate(weights))


@pytest.mark.parametrize(
    ("other_id", "other_site"), [("exp-2", "ab12"), ("exp-1", "cd34")], ids=["another rule", "another site"]
)
def test_draws_of_two_rules_or_sites_are_independent(other_id: str, other_site: str) -> None:
    """What a run got from one rule or at one site says nothing about what it gets from or at another."""
    one, other = experiment("exp-1", 0.3, 0.7), experiment(other_id, 0.3, 0.7)
    pairs = Counter((draw(one, r, "ab12").value, draw(other, r, other_site).value) for r in RUNS)
    for (a, b), share in {(0, 0): 0.09, (0, 1): 0.21, (1, 0): 0.21, (1, 1): 0.49}.items():
        assert is_share(pairs[a, b], share, len(RUNS))


@given(st.text(), st.text())
def test_a_draw_is_sticky_for_any_ids(run_id: str, site_id: str) -> None:
    """The same rule, run and site always give the same value, also for ids that no encoding knows."""
    rule = experiment("exp-1", 0.5, 0.5)
    assert draw(rule, run_id, site_id) == draw(rule, run_id, site_id)


def test_a_fixed_value_has_propensity_one() -> None:
    """A rule without arms gives its value to everyone."""
    assert {(1.0, False, 1.0)} == {draw(fixed("r"), run_id, "ab12") for run_id in RUNS[:50]}


def test_the_incumbent_is_an_arm_like_any_other() -> None:
    """It is drawn with its propensity and says what it is."""
    rule = read_rule(ARMS)
    drawn = {draw(rule, run_id, "ab12") for run_id in RUNS[:50]}
    assert {(None, True, 0.5), (10.0, False, 0.5)} == drawn


def test_a_drawn_value_belongs_to_whoever_drew_it() -> None:
    """A list or object that the agent changes is the policy's no longer."""
    rule = Rule("r", "stops", Match(), "human", (Arm({"at": ["a"]}, 1.0),))
    draw(rule, "run", "site").value["at"].append("b")
    assert {"at": ["a"]} == draw(rule, "run", "site").value
