"""Settings that never leave the SDK: retries and timeouts, with the line that chose them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

import trimtab
from trimtab_tracer.records import Decision, Site
from trimtab_tuner.provider import Provider, Scenario

Recorded = Callable[[type], list[Any]]
ASK: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}


def decided(recorded: Recorded, knob: str) -> tuple[Any, str, str, str]:
    """Value, source, role and source line of a knob's only decision."""
    sites = {s.site_id: s for s in recorded(Site)}
    (decision,) = [d for d in recorded(Decision) if d.knob == knob]
    return decision.value, decision.source, decision.site_role, sites[decision.site_id].source


def ask(**options: Any) -> None:
    with Provider(Scenario.from_dict({})) as provider:
        client = openai.OpenAI(base_url=provider.url + "/v1", api_key="none", **options)
        client.chat.completions.create(**ASK)


def test_client_setting_is_pinned_to_the_constructor(recorded: Recorded) -> None:
    """What the client was built with is pinned to where it was built."""
    ask(max_retries=0, timeout=3.5)
    value, source, role, line = decided(recorded, "max_retries")
    assert (0, "code", "constructor") == (value, source, role)
    assert "openai.OpenAI(" in line
    assert (3.5, "code", "constructor") == decided(recorded, "timeout_s")[:3]


def test_default_is_called_default(recorded: Recorded) -> None:
    """What nobody set is the SDK's default, and no line's fault."""
    ask()
    assert (2, "default", "call") == decided(recorded, "max_retries")[:3]
    assert (600, "default", "call") == decided(recorded, "timeout_s")[:3]


def test_given_value_that_equals_the_default_is_code(recorded: Recorded) -> None:
    """Who writes the default's value down has made a choice: the constructor's line is named."""
    ask(max_retries=2)
    value, source, role, line = decided(recorded, "max_retries")
    assert (2, "code", "constructor") == (value, source, role)
    assert "openai.OpenAI(" in line
    assert "default" == decided(recorded, "timeout_s")[1]


def test_setting_of_one_call_is_pinned_to_the_call(recorded: Recorded) -> None:
    """A timeout given with the call belongs to the call's line."""
    with Provider(Scenario.from_dict({})) as provider:
        client = openai.OpenAI(base_url=provider.url + "/v1", api_key="none", timeout=30)
        client.chat.completions.create(**ASK, timeout=4)
    value, source, role, line = decided(recorded, "timeout_s")
    assert (4, "code", "call") == (value, source, role)
    assert "chat.completions.create" in line


def test_unknown_sdk_internals_cost_only_the_hint(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the SDK's private parts changed, the call is captured without this knowledge."""
    monkeypatch.delenv("TRIMTAB_STRICT")
    monkeypatch.delattr(openai._base_client, "DEFAULT_MAX_RETRIES")
    with Provider(Scenario.from_dict({})) as provider:
        openai.OpenAI(base_url=provider.url + "/v1", api_key="none").chat.completions.create(**ASK)
    assert (None, "default") == decided(recorded, "max_retries")[:2]


def test_sdk_is_told_its_own_number_without_a_rule(recorded: Recorded) -> None:
    """Whoever asks how often a call may be sent again hears the SDK's answer, as before."""
    options = openai._models.FinalRequestOptions.construct(
        method="post", url="/chat/completions", json_data={"model": "m"}
    )

    def request() -> int:
        return options.get_max_retries(2)

    assert (2, 2) == (options.get_max_retries(2), request())
    options.max_retries = 7
    assert 7 == request()


def test_hooks_of_the_sdk_are_taken_out_again(tmp_path: Path) -> None:
    """After uninstrument() the SDK's method is the one that was there before."""
    before = openai._models.FinalRequestOptions.get_max_retries
    trimtab.instrument(home=tmp_path)
    assert openai._models.FinalRequestOptions.get_max_retries is not before
    trimtab.uninstrument()
    assert openai._models.FinalRequestOptions.get_max_retries is before
