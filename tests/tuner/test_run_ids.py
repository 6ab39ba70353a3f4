"""Run ids as people type them: the printed end is enough, and nothing is guessed."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.__main__ import main
from trimtab_tracer.errors import TrimtabError
from trimtab_tracer.records import Record
from trimtab_tracer.settings import Settings
from trimtab_tracer.spool import SpoolWriter
from trimtab_tuner.run_ids import whole_id
from trimtab_tuner.sidecar import Sidecar

pytestmark = pytest.mark.usefixtures("unanalysed")

SomeRun = Callable[..., list[Record]]


@given(st.lists(st.text("0123abcd", min_size=1, max_size=8), unique=True), st.text("0123abcd", max_size=8))
def test_an_id_is_exact_or_unique_or_refused(ids: list[str], typed: str) -> None:
    """What is answered is the typed id itself, or the only one that begins or ends with it."""
    fitting = [one for one in ids if one.startswith(typed) or one.endswith(typed)]
    if typed in ids:
        assert whole_id(typed, ids) == typed
    elif len(fitting) == 1:
        assert whole_id(typed, ids) == fitting[0]
    else:
        with pytest.raises(TrimtabError, match=r"^(There is no run|\d+ runs are called) .*\.$"):
            whole_id(typed, ids)


def test_near_ids_are_listed() -> None:
    """A slip in the printed end of an id is answered with that id, anything else with the latest ones."""
    ids = ["01a2b3c4d5e60ed2e3", "01a2b3c4d5e6777777"]
    with pytest.raises(TrimtabError, match=r"no run '0ed2e4'; near to it: 01a2b3c4d5e60ed2e3\."):
        whole_id("0ed2e4", ids)
    with pytest.raises(TrimtabError, match=r"no run 'zz'; the latest: 01a2b3c4d5e60ed2e3, 01a2b3c4d5e6777777\."):
        whole_id("zz", ids)
    with pytest.raises(TrimtabError, match=r"2 runs are called '01a2'"):
        whole_id("01a2", ids)


def test_a_short_id_means_the_same_with_and_without_a_sidecar(
    settings: Settings, spool: SpoolWriter, some_run: SomeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    """``report --run`` takes the end of an id, and refuses an unknown one in the same words, on both ways."""
    for n in range(12):
        for record in some_run(n):
            spool.write(record)
    spool.close()
    home = ["--home", str(settings.home)]

    def asked() -> tuple[str, int, str]:
        assert main(["report", "--json", "--run", "007", *home]) == 0
        found = json.loads(capsys.readouterr().out)["run_id"]
        return found, main(["report", "--run", "nope", *home]), capsys.readouterr().err

    alone = asked()
    assert alone[:2] == ("r007", 1)
    assert "There is no run 'nope'; the latest: r011, r010, r009, r008 and 8 more." in alone[2]
    with Sidecar(settings):
        assert asked() == alone
