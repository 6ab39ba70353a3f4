"""The store: one DuckDB file, brought to the present shape by numbered migrations.

In: the path of the file. Out: connections to it, one cursor per thread, and transactions that never meet each
other. Tables are described in ``migrations/*.sql``; what fills them is :mod:`.ingest`.

One process writes (the sidecar); DuckDB keeps every other process out, also readers, so a locked file is an
everyday error with its own sentence. A process killed at any moment leaves a write-ahead log that the next opening
replays. Files are written in the storage format of DuckDB 1.5, which 1.5 and 2.0 both read. The module is apart
from :mod:`.ingest` because readers (analyzer, API) need the file and nothing else.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa  # type: ignore[import-untyped]

from .errors import StoreError

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: a file that is open can't be removed there
    fcntl = None  # type: ignore[assignment]

STORAGE_VERSION = "v1.5.0"
"""Oldest DuckDB that can open our files."""
WAL_BYTES = "64MB"
"""Write-ahead log from which it is folded into the file: a few checkpoints a minute at full load, a short replay."""

_HEADERS_BYTES = 3 * 4096
"""A DuckDB file begins with three headers of this size together; one without all of them holds nothing."""
_HOLDER = re.compile(r"PID (\d+)")


def migrations() -> list[tuple[str, str]]:
    """Name and SQL of every migration, in the order they are applied."""
    folder = resources.files(__package__) / "migrations"
    found = [(entry.name, entry.read_text(encoding="utf-8")) for entry in folder.iterdir()]
    return sorted((name, sql) for name, sql in found if name.endswith(".sql"))


class Store:
    """An open store. Build it with :meth:`open`; close it, or use it as a context manager."""

    def __init__(self, path: Path, con: duckdb.DuckDBPyConnection) -> None:
        """Wrap an open, migrated connection."""
        self.path = path
        self._con = con
        self._writing = threading.RLock()

    @classmethod
    def open(cls, path: Path, read_only: bool = False) -> Self:
        """Open the store at ``path``, making it (not if ``read_only``) and bringing it to the present shape.

        Raises:
            StoreError: another process has it open; it was made by a newer trimtab; it is no store, or unreadable.
        """
        path = Path(path).absolute()
        try:
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                _remove_stillborn(path)
            con = duckdb.connect(str(path), read_only=read_only, config=_config(read_only))
        except (duckdb.Error, OSError) as error:
            if not read_only:
                _remove_stillborn(path)
            raise _why_not(path, error) from error
        try:
            if not read_only:
                path.chmod(0o600)
            _migrate(path, con, read_only)
        except StoreError:
            con.close()
            raise
        except (duckdb.Error, OSError) as error:
            con.close()
            raise StoreError.unreadable(path, error) from error
        store = cls(path, con)
        if not read_only:
            store._keep_private()
        return store

    @property
    def content_dir(self) -> Path:
        """Where the Parquet segments lie that table ``content`` indexes: beside the file."""
        return self.path.parent / "content"

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of one's own to the open store: one per thread and per open result. Close it after use."""
        return self._con.cursor()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep every other thread from writing, over several transactions or none."""
        with self._writing:
            yield

    @contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection inside a transaction that no other one of this process overlaps.

        Committed when the block ends, rolled back when it raises.
        """
        with self._writing:
            con = self._con.cursor()
            try:
                con.begin()
                try:
                    yield con
                except BaseException:
                    with suppress(duckdb.Error):  # the first error is the one to report
                        con.rollback()
                    raise
                con.commit()
            finally:
                con.close()
                self._keep_private()

    def _keep_private(self) -> None:
        """Take the write-ahead log from other users: DuckDB makes it anew after every checkpoint, by the umask."""
        log = self.path.with_name(self.path.name + ".wal")
        with suppress(OSError):  # there is none, or it is not ours to change
            if log.stat().st_mode & 0o077:
                log.chmod(0o600)

    def close(self) -> None:
        """Fold the write-ahead log into the file and let go of it. Idempotent."""
        with self._writing:
            self._con.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


def _config(read_only: bool) -> dict[str, str | bool | int | float | list[str]]:
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,  # nothing of ours needs one, and nothing of ours may load code
        "autoload_known_extensions": False,
        "wal_autocheckpoint": WAL_BYTES,
    }
    if not read_only:
        config["storage_compatibility_version"] = STORAGE_VERSION
    return config


def _remove_stillborn(path: Path) -> None:
    """Take away a file that ends within its headers: a full disk or a kill at the first opening left it, and DuckDB
    would refuse it from then on. One that another process is making just now is locked, and left alone."""
    with suppress(OSError):
        if path.stat().st_size >= _HEADERS_BYTES:
            return
        with path.open("r+b") as file:
            if fcntl is not None:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            start = file.read(_HEADERS_BYTES)
            if not start or (len(start) < _HEADERS_BYTES and start[8:12] == b"DUCK"):  # what is not ours stays
                path.unlink()


def _why_not(path: Path, error: Exception) -> StoreError:
    text = str(error)
    if "lock" in text.lower() and isinstance(error, duckdb.IOException):
        holder = _HOLDER.search(text)
        return StoreError.locked(path, int(holder[1]) if holder else None)
    return StoreError.unreadable(path, error)


def _migrate(path: Path, con: duckdb.DuckDBPyConnection, read_only: bool) -> None:
    """Apply what is missing, each in a transaction of its own; refuse what we do not know."""
    known = migrations()
    tables = {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    applied = set()
    if "migrations" in tables:
        applied = {name for (name,) in con.execute("SELECT name FROM migrations").fetchall()}
    if unknown := sorted(applied - {name for name, _ in known}):
        raise StoreError.newer_schema(path, unknown)
    missing = [(name, sql) for name, sql in known if name not in applied]
    if missing and read_only:
        names = ", ".join(name for name, _ in missing)
        raise StoreError(
            f"{path}: the store lacks the migrations {names} and was opened for reading only."
            " Open it once with `trimtab up`, which applies them."
        )
    for name, sql in missing:
        con.begin()
        con.execute("CREATE TABLE IF NOT EXISTS migrations (name VARCHAR PRIMARY KEY, applied_ns BIGINT NOT NULL)")
        con.execute(sql)
        con.execute("INSERT INTO migrations VALUES (?, ?)", [name, time.time_ns()])
        con.commit()


# --- rows in: from Arrow, because executemany manages 2,000 rows a second ----------------------------------------


@cache
def query(name: str) -> str:
    """Text of ``queries/<name>.sql``."""
    return (resources.files(__package__) / "queries" / f"{name}.sql").read_text(encoding="utf-8")


FEW = 200
"""Up to so many values are written into a statement: only then does DuckDB look them up in an index, which in a large
store is the difference between one millisecond and a scan."""

_PROBES = {"tool_requests": "call_id", "content": "call_id"}
"""Indexed column by which rows are found whose key has two columns; the key's first one elsewhere."""


def replace_rows(
    con: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Mapping[str, Any]], key: tuple[str, ...]
) -> None:
    """Insert whole rows, over those with the same primary key; of equal keys among ``rows`` the last counts.

    Delete and insert, because INSERT OR REPLACE takes DuckDB 5 ms to plan on a wide table, and these 2. Few rows are
    looked up before, as most are new: a plain INSERT that meets an old one would spoil the transaction.
    """
    if not rows:
        return
    unique = {tuple(_sound_one(row[name]) for name in key): row for row in rows}
    con.register("batch_rows", arrow_table(list(unique.values()), table_schema(con, table)))
    columns = ", ".join(f'"{name}"' for name in key)
    if len(unique) > FEW:
        con.execute(f"DELETE FROM {table} WHERE ({columns}) IN (SELECT ({columns}) FROM batch_rows)")
    else:
        probe = _PROBES.get(table, key[0])
        values = list({_sound_one(row[probe]) for row in unique.values()})
        where = f"{probe} IN ({', '.join('?' * len(values))})"
        found = con.execute(f"SELECT {columns} FROM {table} WHERE {where}", values).fetchall()
        if old := [value for old_key in found if old_key in unique for value in old_key]:
            one = f"({', '.join('?' * len(key))})"
            these = ", ".join([one] * (len(old) // len(key)))
            con.execute(f"DELETE FROM {table} WHERE {where} AND ({columns}) IN ({these})", values + old)
    con.execute(f"INSERT INTO {table} BY NAME SELECT * FROM batch_rows")


def execute_for(con: duckdb.DuckDBPyConnection, sql: str, **relations: Iterable[str]) -> duckdb.DuckDBPyConnection:
    """Execute statements that name their input ``IN (SELECT column FROM relation)``; the result of the last one.

    Args:
        con: The connection.
        sql: The statements.
        relations: Values of each such relation. Few are written out in the statement's place of it (see :data:`FEW`).
    """
    parameters: dict[str, str] = {}
    for relation, given in relations.items():
        values = _sound(list(given))
        inner = re.search(rf"\(SELECT (\w+) FROM {relation}\)", sql)
        if inner is None:
            continue
        if len(values) > FEW:
            register(con, relation, inner[1], values)
            continue
        names = {f"{relation}_{n}": value for n, value in enumerate(values)}
        sql = sql.replace(inner[0], f"({', '.join(f'${name}' for name in names) or 'NULL'})")
        parameters |= names
    for statement in _statements(sql):
        con.execute(statement, {name: parameters[name] for name in statement.named_parameters})
    return con


def rows_where(con: duckdb.DuckDBPyConnection, table: str, column: str, values: Iterable[str]) -> list[dict[str, Any]]:
    """The rows of a table that have one of these values, as mappings."""
    sql = f"SELECT * FROM {table} WHERE {column} IN (SELECT {column} FROM batch_values)"
    found = execute_for(con, sql, batch_values=values).fetchall()
    names = [name for name, *_ in con.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found]


@lru_cache(maxsize=256)
def _statements(sql: str) -> tuple[duckdb.Statement, ...]:
    """Parsed statements: a live batch asks the same again and again, and the longest take 2 ms to parse."""
    return tuple(duckdb.extract_statements(sql))


def upsert_rows(
    con: duckdb.DuckDBPyConnection,
    table: str,
    key: str,
    rows: Sequence[dict[str, Any]],
    blank: dict[str, Any] | None = None,
) -> None:
    """Set only the columns that ``rows`` have; a row that is new gets the others from ``blank``."""
    unique = list({row[key]: row for row in rows}.values())
    columns = list(unique[0])
    blank = blank or {}
    schema = table_schema(con, table)
    shape = pa.schema([schema.field(name) for name in (*columns, *blank)])
    con.register("batch_rows", arrow_table([row | blank for row in unique], shape))
    sets = ", ".join(f'"{name}" = excluded."{name}"' for name in columns if name != key)
    con.execute(f"INSERT INTO {table} BY NAME SELECT * FROM batch_rows ON CONFLICT ({key}) DO UPDATE SET {sets}")


def register(con: duckdb.DuckDBPyConnection, name: str, column: str, values: Iterable[str]) -> None:
    """Make ``values`` the one-column relation ``name`` of this connection, for queries that take a relation."""
    con.register(name, pa.table({column: pa.array(_sound(list(values)), pa.string())}))


def arrow_table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as an Arrow table with exactly the columns of ``schema``."""
    arrays = []
    for field in schema:
        values = [row[field.name] for row in rows]
        try:
            arrays.append(pa.array(values, field.type))
        except UnicodeEncodeError:
            arrays.append(pa.array(_sound(values), field.type))
    return pa.table(arrays, schema=schema)


_schemas: dict[str, pa.Schema] = {}
"""Columns of the tables; the migrations decide them, so they are asked for once."""


def table_schema(con: duckdb.DuckDBPyConnection, table: str) -> pa.Schema:
    """Columns of a table, in its order."""
    if table not in _schemas:
        _schemas[table] = con.sql(f"SELECT * FROM {table} LIMIT 0").to_arrow_table().schema
    return _schemas[table]


def _sound(values: list[Any]) -> list[Any]:
    """Texts without lone surrogates, which no database takes."""
    return [_sound_one(value) for value in values]


def _sound_one(value: Any) -> Any:
    if isinstance(value, list):
        return _sound(value)
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) and not value.isascii() else value
