"""One decision inside its transaction: the policy it found, and what it leaves behind.

In: the connection of an open write transaction. Out: a new row of ``policy_versions`` where agents shall do something
else than before, and one row of the audit for each thing decided. Apart from the decisions because all of them share
it, and apart from :mod:`.publish` because nothing is published before it is committed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from trimtab_tracer import policy
from trimtab_tracer.errors import PolicyError

from ..reads import Row, fetch
from . import audit, document, rows
from .actor import SIDECAR, Actor
from .document import Json
from .errors import Conflict, NotThere, Refused

if TYPE_CHECKING:
    import duckdb

FIRST_VERSION = 1
"""The policy before anyone decided anything: no rules."""


def newest_version(con: duckdb.DuckDBPyConnection) -> int:
    """Version of the policy in force; 0 in a store that no control has seen yet."""
    ((version,),) = con.execute("SELECT coalesce(max(version), 0) FROM policy_versions").fetchall()
    return int(version)


def newest(con: duckdb.DuckDBPyConnection) -> Json:
    """The policy in force, as it was first issued. There has to be one."""
    ((text,),) = con.execute("SELECT document FROM policy_versions ORDER BY version DESC LIMIT 1").fetchall()
    found: Json = json.loads(text)
    return found


class Change:
    """A decision being taken. Every other one waits until it is committed."""

    def __init__(
        self, con: duckdb.DuckDBPyConnection, actor: Actor, terms: Json, *, now_ns: int, why: str | None = None
    ) -> None:
        """Look at the policy in force; a store without one gets its first.

        Raises:
            Refused: the actor or the reason can't stand in the audit.
        """
        actor.check()
        self.con = con
        self.actor = actor
        self.now_ns = now_ns
        self.why = audit.reason(why)
        self.audit_id = 0
        """The last row it wrote."""
        self._terms = terms
        if not newest_version(con):
            self._store(self._document(FIRST_VERSION, [], is_frozen=False), "the first policy: no rules", SIDECAR)
        self.document = newest(con)
        """The policy in force, or what :meth:`publish` made of it."""

    @property
    def version(self) -> int:
        """Of the policy."""
        return int(self.document["version"])

    @property
    def rules(self) -> list[Json]:
        """Of the policy."""
        return list(self.document["rules"])

    @property
    def is_frozen(self) -> bool:
        """Whether steering is stopped."""
        return bool(self.document["frozen"])

    def check_seen(self, seen: int) -> None:
        """Refuse a decision of someone who saw another policy than this one.

        Raises:
            Conflict: names who changed it last.
        """
        if seen == self.version:
            return
        row = audit.last(self.con, policy_version=self.version)
        happened = f"The policy is at version {self.version} now and you saw {seen}"
        if row is not None:
            happened += f": {audit.told(row, self.now_ns)}"
        raise Conflict.overtaken(happened)

    def check_rule(self, rule: Json) -> None:
        """Refuse a rule that no policy can hold.

        Raises:
            Refused: says what of it.
        """
        try:
            policy.read_rule(rule)
        except PolicyError as error:
            raise Refused.by_policy(error) from None

    def publish(self, cause: str, *, rules: list[Json] | None = None, is_frozen: bool | None = None) -> None:
        """Make the next version.

        Args:
            cause: What made it, in words.
            rules: All its rules; those in force by default.
            is_frozen: Whether it stops steering; as it is by default.

        Raises:
            Refused: agents would refuse the document.
        """
        frozen = self.is_frozen if is_frozen is None else is_frozen
        made = self._document(self.version + 1, self.rules if rules is None else rules, is_frozen=frozen)
        try:
            document.check(made)
        except PolicyError as error:
            raise Refused.by_policy(error) from None
        self._store(made, cause, self.actor)
        self.document = made

    def audit(
        self, action: str, kind: str, subject_id: str, *, before: Any = None, after: Any = None, why: str | None = None
    ) -> None:
        """Write down what was decided; ``why`` is the person's own by default."""
        self.audit_id = audit.write(
            self.con,
            self.actor,
            action,
            (kind, subject_id),
            at_ns=self.now_ns,
            policy_version=self.version,
            before=before,
            after=after,
            why=why or self.why,
        )

    def rules_of(self, version: int) -> list[Json]:
        """The rules of an earlier policy.

        Raises:
            NotThere: there never was one with this number.
        """
        found = rows.one(self.con, "policy_versions", "version", version)
        if found is None:
            raise NotThere.named("policy version", version, "`trimtab policy versions`")
        return list(found["document"]["rules"])

    def version_before(self) -> int:
        """The newest version whose rules are other ones than those in force; what an experiment has learned since makes
        no other rule.

        Raises:
            NotThere: all versions have had these rules.
        """
        sql = "SELECT version, document FROM policy_versions WHERE version < $version ORDER BY version DESC"
        for row in fetch(self.con, sql, version=self.version):
            if document.decided(row["document"]["rules"]) != document.decided(self.rules):
                return int(row["version"])
        raise NotThere(f"No policy before version {self.version} had other rules; nothing was changed.")

    def _document(self, version: int, rules: list[Json], *, is_frozen: bool) -> Json:
        return document.build(version, rules, self._terms, issued_ns=self.now_ns, is_frozen=is_frozen)

    def _store(self, made: Json, cause: str, actor: Actor) -> None:
        row: Row = {"version": made["version"], "issued_ns": self.now_ns, "document": made}
        rows.insert(self.con, "policy_versions", row | {"reason": cause, "actor": actor.name, "via": actor.via})
