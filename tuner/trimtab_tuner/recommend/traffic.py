"""How many calls a day a rule would change.

In: the store and a rule's match. Out: a number. Apart from :mod:`.scene` because experiments ask it too. Counted are
the last days of the store up to its newest call, so a recording of last month is told as it was; what covers less than
a day is not scaled up to one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from trimtab_analyzer.load import Connection

DAYS: Final = 7
"""Over how many days up to the newest call calls are counted."""
_DAY_NS: Final = 86_400 * 10**9

_COUNTED: Final = """
WITH newest AS (SELECT max(started_ns) - $window_ns AS since_ns FROM calls)
SELECT count(*), coalesce(max(c.started_ns) - min(c.started_ns), 0)
FROM calls AS c LEFT JOIN runs AS r USING (run_id), newest
WHERE c.started_ns > newest.since_ns
  AND ($service IS NULL OR r.service = $service)
  AND ($model IS NULL OR c.model = $model)
  AND (
    $site IS NULL
    OR c.site_id = $site
    OR c.call_id IN (SELECT call_id FROM decisions WHERE site_id = $site AND site_role = 'constructor')
  )
"""


def calls_per_day(con: Connection, match: Mapping[str, Any]) -> float | None:
    """Calls a day that ``match`` covers (``site``, ``service``, ``model``; left out: any); None without a call."""
    asked = {key: match.get(key) for key in ("site", "service", "model")}
    ((calls, spanned_ns),) = con.execute(_COUNTED, asked | {"window_ns": DAYS * _DAY_NS}).fetchall()
    return calls / max(1.0, spanned_ns / _DAY_NS) if calls else None
