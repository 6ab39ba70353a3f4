"""``trimtab report`` for pull requests and CI: Markdown, a span of time, and conditions that end with 1."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trimtab.__main__ import main
from trimtab_tracer.ingest import ingest
from trimtab_tracer.prices import PriceList
from trimtab_tracer.records import Attempt, Exchange, Process, Record, RunEnd, RunStart, Site
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.sidecar import Sidecar

Report = Callable[..., tuple[int, str, str]]


def runs(n: int, begin_ns: int) -> list[Record]:
    """So many runs of a cent, one a second."""
    records: list[Record] = [
        Process("p1", 1, begin_ns, "shop", "shop.py", "/srv", "3.11", "0.1.0", "redacted", "boot"),
        Site("s1", "shop.py", "main", 12, 12, "client.chat.completions.create(...)"),
    ]
    for number in range(n):
        run, at = f"r{number:03d}", begin_ns + number * 10**9
        attempt = Attempt(
            f"{run}.1", f"{run}.c", run, "p1", 1, at, 10**8, "openai.chat", "POST", "api.example",
            "/v1/chat/completions", "s1", "complete", model="m", http_status=200,
        )  # fmt: skip
        said = Exchange(attempt.attempt_id, attempt.call_id, run, "openai.chat", "m", cost_reported_usd="0.01")
        records += [RunStart(run, "p1", at, "order", "explicit"), attempt, said]
        records.append(RunEnd(run, at + 10**8, "ok", "block exit"))
    return records


@pytest.fixture(params=[True, False], ids=["sidecar", "no sidecar"])
def home(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Settings]:
    """A home in which forty runs cost a cent each, within the last 80 seconds; one that a sidecar serves, or none."""
    settings.home.mkdir(parents=True)
    with Store.open(settings.store_path) as store:
        ingest(store, runs(40, time.time_ns() - 80 * 10**9), prices=PriceList())
    if request.param:
        with Sidecar(settings):
            yield settings
    else:
        yield settings


@pytest.fixture
def report(home: Settings, capsys: pytest.CaptureFixture[str]) -> Report:
    """Runs ``trimtab report …`` on the home in this process: exit code, output, errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["report", *arguments, "--home", str(home.home)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_a_build_fails_by_what_was_asked(report: Report, tmp_path: Path) -> None:
    """Exit code 1 and a sentence on standard error; Markdown and JSON have the verdicts; else 0."""
    code, out, err = report("--md", "--since", "1h", "--fail-on", "cost>0.001", "--fail-on", "total>100")
    assert code == 1
    assert "- ❌ `cost>0.001`" in out
    assert "- ✅ `total>100`" in out
    assert "trimtab: FAILED: cost>0.001: A run cost $0.0" in err
    code, out, _ = report("--json", "--fail-on", "total>100")
    assert (code, json.loads(out)["verdicts"][0]["is_met"]) == (0, False)
    earlier = tmp_path / "earlier.json"
    earlier.write_text(out)
    code, _, err = report("--baseline", str(earlier), "--fail-on", "cost+10%", "--fail-on", "new-finding")
    assert code == 0
    assert "+0.0 %, n = 40 and 40" in err
    told = json.loads(out)
    told["totals"]["cost_musd"] //= 2
    earlier.write_text(json.dumps(told))
    code, _, err = report("--baseline", str(earlier), "--fail-on", "cost+10%")
    assert (code, "+100.0 %" in err) == (1, True)


def test_a_span_of_time_and_the_one_before(report: Report) -> None:
    """Only runs that began in it; before it there were none, so nothing is compared and nothing fails."""
    _, out, _ = report("--json", "--since", "1h")
    assert json.loads(out)["totals"]["runs"] == 40
    code, _, err = report("--since", "1h", "--fail-on", "cost+10%")
    assert (code, "not compared: cost+10%: Too few runs to compare: 40, before 0" in err) == (0, True)
    _, out, _ = report("--json", "--since", "1m")
    assert 0 < json.loads(out)["totals"]["runs"] < 40


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--fail-on", "cost+10%"], "needs something from before"),
        (["--fail-on", "speed>1"], "no such condition"),
        (["--since", "soon"], "expected a span such as 7d"),
        (["--fail-on", "cost+1%", "--baseline", "no-such-file"], "can't be read"),
        (["--fail-on", "cost+1%", "--baseline", __file__], "is no report"),
    ],
)
def test_what_cant_be_asked_ends_with_2(report: Report, arguments: list[str], said: str) -> None:
    """With one sentence."""
    code, _, err = report(*arguments)
    assert (code, said in err) == (2, True), err
