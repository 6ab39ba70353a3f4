"""The table of rules: what goes wrong around a model, which decision of the harness it belongs to, what mends it.

In: nothing. Out: :data:`RULES`, in the order in which they are run and in which equal findings are shown. A rule is
one function in ``rules/`` and one entry in :mod:`.modes_of_calls` or :mod:`.modes_of_runs`. The order matters: what
is not the agent's comes first (:data:`~.rule.Layer`), a rule that answers alone for what it hits before those that it
excuses, and ``run_error`` last, because it takes only what the others left over. No rule needs a model to judge, and
none claims an effect: a finding says what was seen under a decision, not what another decision would have done.
"""

from __future__ import annotations

from typing import Final

from .modes_of_calls import OF_ANSWERS, OF_TOOLS, WIRE
from .modes_of_runs import LAST, OF_RUNS, OUTSIDE
from .rule import Find as Find
from .rule import Rule as Rule

RULES: Final = (*OUTSIDE, *WIRE, *OF_ANSWERS, *OF_TOOLS, *OF_RUNS, *LAST)
"""Every rule, in the order in which they are run."""

NOT_DECIDED: Final = {
    29: "No clarification asked (MAST FM-2.2)",
    30: "Derailment, goal deviation (MAST FM-2.3; TRAIL)",
}
"""Failure modes that no rule decides: they are a matter of meaning and need a judge."""
