"""What a path means, and what happens to a file that can't be read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab_analyzer.importers import find_files, read_file
from trimtab_tracer.errors import ImportFormatError

RUN = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}
KEYS = [
    "messages",
    "role",
    "content",
    "info",
    "extra",
    "response",
    "choices",
    "message",
    "usage",
    "tool_calls",
    "function",
    "mini_version",
    "model_stats",
    "config",
    "agent",
    "model",
    "exit_status",
    "outcome",
    "reward",
    "task",
    "error",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner | st.sampled_from(["assistant", "user", "tool"]),
            max_size=5,
        )
    ),
    max_leaves=30,
)
MESSAGES = st.lists(
    st.dictionaries(
        st.sampled_from(["content", "extra", "tool_calls", "usage", "model", "timestamp", "tool_call_id"]), JSON
    ).flatmap(lambda m: st.sampled_from(["assistant", "user", "tool", "system"]).map(lambda role: m | {"role": role})),
    min_size=1,
    max_size=6,
)


def test_a_folder_with_trajectories_means_these(tmp_path: Path) -> None:
    """A harness's own JSON files beside its trajectories are no runs; files are sorted and each is found once."""
    for name in ("b.traj.json", "a.traj.json", "preds.json", "notes.txt"):
        (tmp_path / name).write_text("{}")
    expected = [tmp_path / "a.traj.json", tmp_path / "b.traj.json"]
    assert expected == find_files([tmp_path, tmp_path / "a.traj.json"])
    assert [tmp_path / "preds.json"] == find_files([str(tmp_path / "p*.json")])


@pytest.mark.parametrize("what", ["nothing.json", "empty", "no*match.json"])
def test_a_path_that_means_nothing_is_said(what: str, tmp_path: Path) -> None:
    """A missing file, a folder without traces and a glob without matches each give a sentence with the name."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImportFormatError, match=r"no such file or folder|no trace file") as error:
        find_files([tmp_path / what])
    assert what in str(error.value)


def test_gzip_is_seen_by_content(tmp_path: Path) -> None:
    """A gzip file is read whatever its name, and gives the same run as the plain one."""
    plain, packed = tmp_path / "run.json", tmp_path / "packed.bin"
    plain.write_text(json.dumps(RUN))
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert [read_file(plain)[0].run_id] == [run.run_id for run in read_file(packed)]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"messages": [{"role"', "not valid JSON"),
        (json.dumps(RUN).encode() + b"\n{broken\n", "line 2: not valid JSON .* nothing of this file was imported"),
        (b"\xff\xfe\x00binary", "not a text file"),
        (gzip.compress(json.dumps(RUN).encode(), mtime=0)[:-9], "damaged or cut off"),
        (
            b'{"spans": [], "resource": {}}',
            "holds an object with the keys 'spans', 'resource'. Known formats: spans",
        ),
        (b"[]", "holds an empty list"),
        (b"7", "holds a number"),
    ],
)
def test_a_bad_file_is_one_sentence(content: bytes, sentence: str, tmp_path: Path) -> None:
    """Whatever is wrong with a file, the error names it, says what was seen, and nothing of the file comes out."""
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(ImportFormatError, match=sentence) as error:
        read_file(path)
    assert str(error.value).startswith(str(path))


def test_an_asked_for_format_is_the_only_one(tmp_path: Path) -> None:
    """With a format named, a file of another known format is refused."""
    path = tmp_path / "run.json"
    path.write_text(json.dumps(RUN))
    with pytest.raises(ImportFormatError, match="Known formats: mini-swe-agent"):
        read_file(path, only="mini-swe-agent")


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    JSON
    | MESSAGES
    | st.fixed_dictionaries({"info": JSON, "messages": MESSAGES, "trajectory_format": st.just("mini-swe-agent-1")})
)
def test_any_json_is_imported_or_refused(tmp_path: Path, value: Any) -> None:
    """No JSON, however odd its fields, ends in anything but records or an ImportFormatError."""
    path = tmp_path / "odd.json"
    path.write_text(json.dumps(value))
    try:
        runs = read_file(path)
    except ImportFormatError:
        return
    assert all(run.records for run in runs)
