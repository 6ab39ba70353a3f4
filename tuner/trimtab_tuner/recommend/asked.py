"""A finding that a person wants to be a recommendation: the same families, asked about one finding.

In: the store and the finding's id. Out: what the families propose for it in the light of all findings, as the last
analysis left them. Apart from :mod:`.families` because that is asked by each analysis with findings in its hands, and
this by a person, who is told why nothing is proposed.
"""

from __future__ import annotations

from trimtab_analyzer import findings
from trimtab_analyzer.load import Connection
from trimtab_tracer.settings import Settings

from .families import recommend
from .proposal import Proposal

NOTHING = (
    "None of the rules proposes a change for this finding now: its line or the value in force is not known, the value"
    " is another one by now, an experiment draws it, or nothing says which value would be better."
    " `trimtab policy rule add` sets any value by hand."
)
"""Why a finding does not become a recommendation."""


def proposals_for(con: Connection, finding_id: str, settings: Settings) -> list[Proposal]:
    """What to change, from this finding; the gravest first.

    Raises:
        LookupError: there is no such open finding.
        StoreError: the store is of another version.
    """
    known = findings.stored(con)
    if finding_id not in {finding.finding_id for finding in known}:
        raise LookupError(finding_id)
    made = recommend(con, known, settings)
    return [p for p in made if finding_id in (p.finding_id, *p.evidence.get("findings", ()))]
