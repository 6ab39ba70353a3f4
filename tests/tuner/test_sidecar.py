"""The sidecar: collects, analyses and answers; goes on after errors; leaves nothing behind and loses nothing."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import httpx
import pytest

from trimtab_tracer.errors import SidecarError, StoreError
from trimtab_tracer.policy import parse
from trimtab_tracer.records import Decision, Record
from trimtab_tracer.settings import Settings
from trimtab_tracer.spool import SpoolWriter
from trimtab_tracer.store import Store
from trimtab_tuner import home
from trimtab_tuner.control import Actor, Control
from trimtab_tuner.recommend import Proposal
from trimtab_tuner.sidecar import Sidecar

SomeRun = Callable[..., list[Record]]


def until(said: Callable[[], object], timeout_s: float = 30) -> None:
    """Wait until ``said`` holds."""
    end = time.monotonic() + timeout_s
    while not said():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def write_all(spool: SpoolWriter, records: list[Record]) -> None:
    """Spool records; none may be lost."""
    assert [spool.write(record) for record in records] == [True] * len(records)


def count(settings: Settings, table: str) -> int:
    """Rows of a table of a store that nobody has open."""
    with Store.open(settings.store_path) as store, closing(store.cursor()) as con:
        return int(con.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


def health(sidecar: Sidecar) -> dict[str, object]:
    """What it says of itself."""
    body: dict[str, object] = httpx.get(f"{sidecar.url}/v1/health", trust_env=False, timeout=30).json()
    return body


def test_what_agents_spool_is_soon_answered(api: httpx.Client, spool: SpoolWriter, some_run: SomeRun) -> None:
    """Records written while the sidecar runs are in its answers, with the service of their process."""
    write_all(spool, [*some_run(1, success=True), *some_run(2)])
    until(lambda: api.get("/v1/runs").json()["total"] == 2)
    assert {run["service"] for run in api.get("/v1/runs").json()["items"]} == {"shop"}
    assert [c["status"] for c in api.get("/v1/calls").json()["items"]] == ["ok", "ok"]


def test_a_spool_of_days_ago_is_collected_at_the_start(
    settings: Settings, spool: SpoolWriter, some_run: SomeRun
) -> None:
    """The sidecar may come long after the agent: a finished spool is taken in and emptied."""
    write_all(spool, [record for n in range(20) for record in some_run(n)])
    spool.close()
    with Sidecar(settings):
        pass
    assert count(settings, "attempts") == 40
    assert list(settings.spool_dir.glob("*.seg")) == []


def test_stopping_takes_a_last_look_and_analyses_it(settings: Settings, spool: SpoolWriter, some_run: SomeRun) -> None:
    """What was spooled a moment before the stop is stored, and findings are made of it."""
    lazy = replace(settings, collect_interval_s=3600, analyze_interval_s=3600)
    with Sidecar(lazy) as sidecar:
        until(lambda: health(sidecar)["analyses"] == 1)
        write_all(spool, [record for n in range(12) for record in some_run(n, success=False)])
    assert count(settings, "attempts") == 24
    assert count(settings, "findings") >= 1
    assert not settings.sidecar_path.exists()


def test_findings_are_served_with_their_line_of_code(
    sidecar: Sidecar, api: httpx.Client, spool: SpoolWriter, some_run: SomeRun
) -> None:
    """The analysis runs by itself, and its findings quote the source line they are pinned to."""
    write_all(spool, [record for n in range(12) for record in some_run(n, success=False)])
    until(lambda: api.get("/v1/findings", params={"status": "open"}).json()["total"])
    found = {item["rule"]: item for item in api.get("/v1/findings").json()["items"]}
    assert "rate_limit" in found
    assert (found["rate_limit"]["file"], found["rate_limit"]["line"]) == ("shop.py", 12)
    assert found["rate_limit"]["source"] == "client.chat.completions.create(...)"
    assert api.get("/v1/findings", params={"rule": "none"}).json()["total"] == 0


def test_a_new_home_is_not_analysed(
    settings: Settings, spool: SpoolWriter, some_run: SomeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing was ever recorded there is nothing to look through; the first run is news."""
    looked, find = [], Sidecar._find

    def counted(sidecar: Sidecar) -> None:
        looked.append(sidecar)
        find(sidecar)

    monkeypatch.setattr(Sidecar, "_find", counted)
    with Sidecar(settings) as sidecar:
        until(lambda: health(sidecar)["analyses"] == 1)
        assert [] == looked
        write_all(spool, some_run(1))
        until(lambda: bool(looked))


def test_nothing_is_analysed_twice(sidecar: Sidecar, spool: SpoolWriter, some_run: SomeRun) -> None:
    """Without news there is no second analysis; with news there is."""
    until(lambda: health(sidecar)["analyses"] == 1)
    steps = int(health(sidecar)["analysis"]["steps"])  # type: ignore[index]
    until(lambda: int(health(sidecar)["analysis"]["steps"]) >= steps + 5)  # type: ignore[index]
    assert health(sidecar)["analyses"] == 1
    write_all(spool, some_run(1))
    until(lambda: int(str(health(sidecar)["analyses"])) >= 2)


def test_a_failing_analysis_does_not_stop_the_collector(
    settings: Settings, spool: SpoolWriter, some_run: SomeRun, caplog: pytest.LogCaptureFixture
) -> None:
    """With a table of the analysis gone, health says degraded, collecting goes on, and once mended so does analysis."""
    with Sidecar(settings) as sidecar:
        until(lambda: health(sidecar)["analyses"] == 1)
        with sidecar._store.transaction() as con:
            con.execute("ALTER TABLE findings RENAME TO hidden")
        write_all(spool, some_run(1))
        until(lambda: health(sidecar)["status"] == "degraded")
        write_all(spool, some_run(2))
        until(lambda: health(sidecar)["records"] == 17)
        with sidecar._store.transaction() as con:
            con.execute("ALTER TABLE hidden RENAME TO findings")
        until(lambda: health(sidecar)["status"] == "ok")
    assert count(settings, "attempts") == 4
    assert sum("analysis" in record.message for record in caplog.records) == 1


def test_the_policy_is_published_as_long_as_it_serves_and_stays(settings: Settings) -> None:
    """At the start the file is written from the store, then issued again and again; stopping leaves it as it is."""
    short = replace(settings, policy_lifetime_s=1)
    with Store.open(settings.store_path) as store:
        rule = {"rule_id": "mine", "knob": "max_retries", "value": 1}
        Control(store, settings).put_rule(rule, seen=1, actor=Actor("a", "cli"))
    settings.policy_path.unlink()
    with Sidecar(short) as sidecar:
        first = json.loads(settings.policy_path.read_bytes())
        assert (2, ["mine"]) == (first["version"], [rule["rule_id"] for rule in first["rules"]])
        until(lambda: json.loads(settings.policy_path.read_bytes())["issued_ns"] > first["issued_ns"])
        settings.policy_path.unlink()
        until(settings.policy_path.exists)
        assert (2, False) == (health(sidecar)["policy_version"], health(sidecar)["frozen"])
    last = settings.policy_path.read_bytes()
    assert 2 == parse(last, time.time_ns()).version
    assert {0o600} == {path.stat().st_mode & 0o777 for path in (settings.policy_path, settings.policy_key_path)}


def test_a_policy_that_can_not_be_written_is_no_reason_to_stop(settings: Settings) -> None:
    """With a folder in the file's place the sidecar starts, serves and says degraded; mended, it publishes."""
    (settings.policy_path / "folder").mkdir(parents=True)
    with Sidecar(settings) as sidecar:
        assert "degraded" == health(sidecar)["status"]
        (settings.policy_path / "folder").rmdir()
        settings.policy_path.rmdir()
        until(lambda: health(sidecar)["status"] == "ok")
        assert settings.policy_path.is_file()


def test_what_agents_obeyed_becomes_active(
    sidecar: Sidecar, api: httpx.Client, spool: SpoolWriter, some_run: SomeRun
) -> None:
    """A recommendation that was accepted over HTTP is active once a decision of an agent says that it was obeyed."""
    proposal = Proposal(
        **{"finding_id": "f", "rule": "r", "knob": "max_retries", "service": None, "model": None, "site_id": "s1"},
        **{"file": "shop.py", "function": "main", "line": 12, "title": "t", "why": "w", "from_value": None},
        **{"to_value": 3, "match": {"site": "s1"}, "expected": {}, "evidence": {}, "risk": "low"},
    )
    until(lambda: health(sidecar)["analyses"] == 1)  # the next one would let a proposal of ours expire
    sidecar._control.propose([proposal])
    (row,) = api.get("/v1/recommendations").json()["items"]
    name = row["recommendation_id"]
    assert 200 == api.post(f"/v1/recommendations/{name}/accept", json={"version": 1}).status_code
    obeyed = Decision("d", "r001", "max_retries", 3, "human", "s1", time.time_ns(), policy_version=2)
    write_all(spool, [*some_run(1), obeyed])
    until(lambda: api.get(f"/v1/recommendations/{name}").json()["status"] == "active")


def test_stopping_lets_go_who_waits(settings: Settings) -> None:
    """A request that waits for news is answered at once when the sidecar stops."""
    with Sidecar(settings) as sidecar:
        headers = {"Authorization": f"Bearer {settings.token_path.read_text().strip()}"}
        url = f"{sidecar.url}/v1/events"
        answers: list[int] = []

        def wait() -> None:
            wanted = {"after": 0, "wait_s": 25}
            reply = httpx.get(url, params=wanted, headers=headers, trust_env=False, timeout=60)
            answers.append(reply.status_code)

        waiter = threading.Thread(target=wait)
        waiter.start()
        until(lambda: sidecar._bell._waiting)
        begun = time.monotonic()
    waiter.join(30)
    assert [200] == answers
    assert time.monotonic() - begun < 20


def test_a_taken_port_is_one_sentence_and_changes_nothing(settings: Settings) -> None:
    """A port in use names itself and the way out; no store and no note are left, and the home is free again."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SidecarError, match=rf"Port {port} on 127\.0\.0\.1 is in use .*`--port 0`"):
            Sidecar(replace(settings, port=port))
    assert not settings.store_path.exists()
    assert not settings.sidecar_path.exists()
    home.HomeLock(settings).release()


def test_a_second_sidecar_names_the_first(sidecar: Sidecar) -> None:
    """On one home a second sidecar is refused with the first one's address, and the first goes on."""
    with pytest.raises(SidecarError, match=sidecar.url):
        Sidecar(sidecar.settings)
    assert health(sidecar)["status"] == "ok"
    assert home.read_note(sidecar.settings) is not None


def test_a_store_in_other_hands_is_one_sentence(settings: Settings) -> None:
    """A damaged store is named with a next step and left as it is, and the home is free again."""
    home.prepare(settings.home)
    settings.store_path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(StoreError, match=r"trimtab\.duckdb: .*\."):
        Sidecar(settings)
    assert settings.store_path.read_bytes() == b"no database at all" * 1000
    home.HomeLock(settings).release()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_it_listens_on_loopback_only(settings: Settings, host: str) -> None:
    """Each loopback address works, and its URL is one that answers."""
    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        pytest.skip(f"this machine has no {host}")
    with Sidecar(replace(settings, host=host)) as sidecar:
        assert health(sidecar)["status"] == "ok"
        address = sidecar._socket.getsockname()[0]
    assert address in ("127.0.0.1", "::1")


def test_many_readers_while_it_writes(
    sidecar: Sidecar, api: httpx.Client, spool: SpoolWriter, some_run: SomeRun
) -> None:
    """Eight readers at once, while records come in, all get consistent answers: calls as many as a run's own count."""
    problems: list[str] = []

    def read() -> None:
        for _ in range(10):
            for run in api.get("/v1/runs", params={"limit": 3}).json()["items"]:
                detail = api.get(f"/v1/runs/{run['run_id']}").json()
                if detail["run"]["attempts"] != len(detail["attempts"]):
                    problems.append(run["run_id"])

    readers = [threading.Thread(target=read) for _ in range(8)]
    for reader in readers:
        reader.start()
    for n in range(60):
        write_all(spool, some_run(n))
    for reader in readers:
        reader.join()
    assert problems == []
    until(lambda: api.get("/v1/runs").json()["total"] == 60)
