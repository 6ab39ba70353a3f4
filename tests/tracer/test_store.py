from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import duckdb
import pytest

from trimtab_tracer.errors import StoreError
from trimtab_tracer.store import Store, migrations


@pytest.fixture(autouse=True)
def new_stores() -> None:
    """How stores are made is what this is about: none is a copy."""


def test_a_new_store_has_every_table_and_is_private(tmp_path: Path) -> None:
    """Opening makes the file, for this user only, and applies every migration once."""
    path = tmp_path / "home" / "trimtab.duckdb"
    with Store.open(path) as store:
        tables = {name for (name,) in store.cursor().sql("SELECT table_name FROM duckdb_tables()").fetchall()}
        assert {"runs", "calls", "attempts", "tool_calls", "decisions", "ingest_ledger", "losses"} <= tables
        applied = store.cursor().sql("SELECT name FROM migrations ORDER BY name").fetchall()
    assert [(name,) for name, _ in migrations()] == applied
    assert (path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)


def test_the_log_is_private_whatever_the_umask(tmp_path: Path) -> None:
    """File and write-ahead log are this user's also where the umask is open, and the process keeps its umask."""
    code = textwrap.dedent("""
        import os, sys; from pathlib import Path; from trimtab_tracer.store import Store
        os.umask(0o022)
        path = Path(sys.argv[1])
        modes = lambda: print(*(oct(file.stat().st_mode & 0o777) for file in sorted(path.parent.glob("*.duckdb*"))))
        with Store.open(path) as store:
            modes()
            store.cursor().execute("CHECKPOINT")
            with store.transaction() as con:
                con.execute("INSERT INTO losses VALUES ('p', 'content', 'why', 1, 2, 3)")
            modes()
        print(oct(os.umask(0)))
    """)
    command = [sys.executable, "-c", code, tmp_path / "t.duckdb"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0o600"] * 4 + ["0o22"]


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    """A store that is opened a second time keeps its rows and applies no migration again."""
    path = tmp_path / "trimtab.duckdb"
    with Store.open(path) as store, store.transaction() as con:
        con.execute("INSERT INTO losses VALUES ('p', 'content', 'why', 1, 2, 3)")
    with Store.open(path) as store:
        assert store.cursor().sql("SELECT count FROM losses").fetchall() == [(2,)]
        assert [(len(migrations()),)] == store.cursor().sql("SELECT count(*) FROM migrations").fetchall()


def test_an_earlier_store_keeps_its_rows(tmp_path: Path) -> None:
    """A store of the first shape gets the tables and columns that came later, and its rows stay as they were."""
    path = tmp_path / "trimtab.duckdb"
    (first, sql), *later = migrations()
    with duckdb.connect(str(path), config={"storage_compatibility_version": "v1.5.0"}) as con:
        con.execute(sql)
        con.execute("CREATE TABLE migrations (name VARCHAR PRIMARY KEY, applied_ns BIGINT NOT NULL)")
        con.execute("INSERT INTO migrations VALUES (?, 1)", [first])
        con.execute("INSERT INTO decisions VALUES ('d', 'r', NULL, 'k', '1', 'code', 1.0, 's', 'call', NULL, 5)")
    with Store.open(path) as store, store.transaction() as con:
        assert [("d", None)] == con.sql("SELECT decision_id, choices FROM decisions").fetchall()
        con.execute("DELETE FROM decisions")
        assert [(0,)] == con.sql("SELECT count(*) FROM audit").fetchall()
        names = con.sql("SELECT name FROM migrations ORDER BY name").fetchall()
    assert [("0001_core.sql",), ("0002_control.sql",)] == names[:2]
    assert len(names) == 1 + len(later)


def test_the_file_can_be_read_by_the_older_duckdb(tmp_path: Path) -> None:
    """The file is written in the storage format of DuckDB 1.5, whatever version is installed."""
    with Store.open(tmp_path / "trimtab.duckdb") as store:
        ((tags,),) = store.cursor().sql("SELECT tags FROM duckdb_databases() WHERE path IS NOT NULL").fetchall()
    assert tags["storage_version"].startswith("v1.5")


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    """What a failing block wrote is gone, also for other cursors."""
    with Store.open(tmp_path / "trimtab.duckdb") as store:
        with pytest.raises(duckdb.ConversionException), store.transaction() as con:
            con.execute("INSERT INTO losses VALUES ('p', 'content', 'why', 1, 2, 3)").execute("SELECT 'x'::INTEGER")
        assert store.cursor().sql("FROM losses").fetchall() == []


def test_a_second_process_is_told_who_holds_the_store(tmp_path: Path) -> None:
    """A locked store gives one sentence with the holder's pid and the next step."""
    path = tmp_path / "trimtab.duckdb"
    code = "import sys; from trimtab_tracer.store import Store; s = Store.open(sys.argv[1]); print(flush=True); input()"
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    holder: subprocess.Popen[str] = subprocess.Popen([sys.executable, "-c", code, path], **piped)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "\n"
    try:
        with pytest.raises(StoreError, match=rf"process {holder.pid} has the store open.*stop it first"):
            Store.open(path)
    finally:
        holder.communicate("\n")
    Store.open(path).close()


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    """A store with a migration that we do not know is left alone."""
    path = tmp_path / "trimtab.duckdb"
    with Store.open(path) as store, store.transaction() as con:
        con.execute("INSERT INTO migrations VALUES ('9999_future.sql', 1)")
    with pytest.raises(StoreError, match=r"9999_future\.sql.*Upgrade trimtab"):
        Store.open(path)


@pytest.mark.parametrize("what", ["garbage", "folder"])
def test_what_is_no_store_is_named(tmp_path: Path, what: str) -> None:
    """A file that is no database, or a folder in its place, gives a sentence that says what to do."""
    path = tmp_path / "trimtab.duckdb"
    path.mkdir() if what == "folder" else path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match=r"can't be opened.*Move the file away"):
        Store.open(path)


def test_a_file_where_the_home_should_be(tmp_path: Path) -> None:
    """A home that can't be made is a store error, not a traceback of the operating system."""
    (tmp_path / "home").write_text("in the way")
    with pytest.raises(StoreError, match="home"):
        Store.open(tmp_path / "home" / "trimtab.duckdb")


def test_reading_only_writes_nothing(tmp_path: Path) -> None:
    """A store opened for reading refuses to write, and one that does not exist is not made."""
    path = tmp_path / "trimtab.duckdb"
    with pytest.raises(StoreError, match="does not exist"):
        Store.open(path, read_only=True)
    assert not path.exists()
    Store.open(path).close()
    with Store.open(path, read_only=True) as store, pytest.raises(duckdb.Error), store.transaction() as con:
        con.execute("DELETE FROM runs")
