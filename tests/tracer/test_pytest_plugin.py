"""``pytest --trimtab``: each test is a run, whatever runs it; nothing at all happens where nobody asked."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trimtab_tracer.collect import Collector
from trimtab_tracer.instrument.switch import switch
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.provider import Provider, Scenario

pytest_plugins = ["pytester"]

ASK = """
import os
import httpx

URL = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
BODY = {"model": "gpt-5", "messages": [{"role": "user", "content": "Hello?"}]}

def ask():
    httpx.post(URL, json=BODY)
"""


@pytest.fixture(autouse=True)
def provider(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """A scripted provider, and a module that asks it; nothing of ours in the environment."""
    scenario = Scenario.from_dict({"rules": [{"text": "Hello. " * 40, "usage": False}]})
    with Provider(scenario) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{running.url}/v1")
        monkeypatch.setenv("TRIMTAB_STRICT", "1")
        monkeypatch.delenv("TRIMTAB_HOME", raising=False)
        # Others' plugins take seconds to import; ours is found by its entry point all the same.
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        monkeypatch.setenv("PYTEST_ADDOPTS", "-p trimtab -p anyio -p xdist -p no:cacheprovider")
        pytester.syspathinsert()
        pytester.makepyfile(asking=ASK)
        yield running


@pytest.fixture
def rows(pytester: pytest.Pytester) -> Iterator[Any]:
    """Rows of a query over what the session recorded into ``.trimtab``."""
    stores: list[Store] = []

    def query(sql: str, home: Path | None = None) -> list[tuple[Any, ...]]:
        settings = Settings(home=home or pytester.path / ".trimtab")
        stores.append(store := Store.open(settings.store_path))
        Collector(store, settings).collect_once()
        return list(store.cursor().execute(sql).fetchall())

    yield query
    for store in stores:
        store.close()


CALLS = "SELECT task, count(*) FROM calls JOIN runs USING (run_id) GROUP BY task ORDER BY task"


def test_each_test_is_a_run_with_its_outcome(pytester: pytest.Pytester, rows: Any) -> None:
    """Passed is success, failed is none with a comment, an expected failure is one, skipped says nothing."""
    pytester.makepyfile(
        test_desk="""
        import pytest
        from asking import ask

        @pytest.fixture
        def warm():
            ask()
            yield
            ask()

        @pytest.mark.parametrize("case", [1, 2])
        def test_good(warm, case):
            ask()

        def test_bad():
            assert 1 == 2

        def test_broken():
            raise OSError("no such desk")

        @pytest.mark.skip
        def test_skipped(): ...

        @pytest.mark.xfail(reason="too hard")
        def test_expected():
            assert False

        @pytest.mark.xfail
        def test_better():
            ask()

        @pytest.mark.xfail(strict=True)
        def test_much_better(): ...
        """
    )
    result = pytester.runpytest("--trimtab")
    result.assert_outcomes(passed=2, failed=3, skipped=1, xfailed=1, xpassed=1)
    result.stdout.fnmatch_lines(
        [
            "trimtab: 8 runs (4 passed, 3 failed), 7 calls, $0.00*[1-9]*",
            f"trimtab: recorded in {pytester.path}/.trimtab; look with `trimtab report`",
        ]
    )
    result.stdout.no_fnmatch_line("*of unknown cost*")
    told = rows("SELECT task, name, success, comment FROM runs LEFT JOIN outcomes USING (run_id) ORDER BY started_ns")
    at = "test_desk.py::test_"
    assert [
        (f"{at}good[1]", f"{at}good", True, None),
        (f"{at}good[2]", f"{at}good", True, None),
        (f"{at}bad", f"{at}bad", False, "call: AssertionError: assert 1 == 2"),
        (f"{at}broken", f"{at}broken", False, "call: OSError: no such desk"),
        (f"{at}skipped", f"{at}skipped", None, None),
        (f"{at}expected", f"{at}expected", False, "expected failure: too hard"),
        (f"{at}better", f"{at}better", True, "unexpected pass"),
        (f"{at}much_better", f"{at}much_better", True, "unexpected pass"),
    ] == told
    assert [(f"{at}better", 1), (f"{at}good[1]", 3), (f"{at}good[2]", 3)] == rows(CALLS)
    assert [(f"{at}broken", "OSError")] == rows("SELECT task, error_type FROM runs WHERE status = 'error'")
    assert {("asking.py", "user")} == set(rows("SELECT file, owner FROM calls JOIN sites USING (site_id)"))
    assert switch.active() is None


def test_async_tests_under_a_runner_that_outlives_them(pytester: pytest.Pytester, rows: Any) -> None:
    """Calls belong to the test that runs, also where one event loop with one context runs them all."""
    pytester.makepyfile(
        test_desk="""
        import httpx
        import pytest
        import trimtab
        from asking import BODY, URL

        pytestmark = pytest.mark.anyio

        @pytest.fixture(scope="module")
        def anyio_backend():
            return "asyncio"

        @pytest.fixture(scope="module")
        async def client(anyio_backend):
            async with httpx.AsyncClient() as client:
                yield client

        async def test_one(client):
            await client.post(URL, json=BODY)

        async def test_two(client):
            await client.post(URL, json=BODY)
            with trimtab.run("inner"):
                await client.post(URL, json=BODY)
            await client.post(URL, json=BODY)
        """
    )
    pytester.runpytest("--trimtab").assert_outcomes(passed=2)
    at = "test_desk.py::test_"
    assert [(f"{at}one", 1), (f"{at}two", 2), (None, 1)] == rows(CALLS)
    assert [(f"{at}two",)] == rows(
        "SELECT parent.task FROM runs JOIN runs parent ON runs.parent_run_id = parent.run_id WHERE runs.name = 'inner'"
    )


def test_it_works_with_xdist(pytester: pytest.Pytester, rows: Any) -> None:
    """Workers trace and count, the controller sums up and records nothing of its own."""
    lines = "\n".join(f"def test_{n}(): ask()" for n in range(4))
    pytester.makepyfile(test_desk=f"from asking import ask\n{lines}")
    home = pytester.path / "there"
    result = pytester.runpytest_subprocess("-n", "2", "--trimtab-home", str(home))
    result.stdout.fnmatch_lines(["trimtab: 4 runs (4 passed, 0 failed), 4 calls, *", f"trimtab: recorded in {home};*"])
    assert [(f"test_desk.py::test_{n}", 1) for n in range(4)] == rows(CALLS, home)
    assert [(4,)] == rows("SELECT count(*) FROM runs", home)


OTHERS = " ".join(f"-p no:{name}" for name in ("hypothesispytest", "langsmith_plugin", "cacheprovider"))


def test_the_ini_file_can_ask_for_it(pytester: pytest.Pytester, rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """``trimtab = true`` does what the option does; ``-p no:trimtab`` takes the plugin out, and the option with it."""
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    monkeypatch.setenv("PYTEST_ADDOPTS", OTHERS)
    pytester.makeini("[pytest]\ntrimtab = true\n")
    pytester.makepyfile(test_desk="from asking import ask\ndef test_it(): ask()")
    pytester.runpytest().stdout.fnmatch_lines(["trimtab: 1 run (1 passed, 0 failed), 1 call, *"])
    assert [("test_desk.py::test_it", 1)] == rows(CALLS)
    pytester.makeini("[pytest]\n")
    assert pytest.ExitCode.USAGE_ERROR == pytester.runpytest("-p", "no:trimtab", "--trimtab").ret


def test_an_agent_that_instruments_itself_is_counted_once(pytester: pytest.Pytester, rows: Any) -> None:
    """Settings that the code under test names win, those of the session stay, and each call is recorded once.

    With content ``off`` the outcome does not quote what an assertion compared.
    """
    pytester.makepyfile(
        test_desk="""
        import trimtab
        from asking import ask

        def test_it():
            trimtab.instrument(service="desk", content="off")
            ask()

        def test_again():
            ask()
            assert "a model's words" == ""
        """
    )
    home = pytester.path / "there"
    pytester.runpytest("--trimtab-home", str(home)).assert_outcomes(passed=1, failed=1)
    assert [("call: AssertionError",)] == rows("SELECT comment FROM outcomes WHERE NOT success", home)
    assert [("desk", 2)] == rows(
        "SELECT service, count(*) FROM calls JOIN processes USING (process_id) GROUP BY service", home
    )


def test_nobody_asked(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the option nothing of the tracer is imported, nothing is printed and no home appears."""
    pytester.makepyfile(
        test_desk="""
        import sys
        from asking import ask

        def test_it():
            ask()
            assert {"trimtab_tracer", "trimtab_tracer.pytest_plugin"} == {m for m in sys.modules if "trimtab" in m}
        """
    )
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    monkeypatch.setenv("PYTEST_ADDOPTS", OTHERS)
    command = [sys.executable, "-m", "pytest", "-q"]
    done = subprocess.run(command, cwd=pytester.path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert "trimtab" not in done.stdout
    assert not (pytester.path / ".trimtab").exists()
