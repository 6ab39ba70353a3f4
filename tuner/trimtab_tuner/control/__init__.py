"""The control of what agents are told to do: the only writer of the policy and of every decision about it.

In: decisions of people (through the API, the dashboard or the command line) and of the sidecar itself. Out: rows in the
store, and the published policy file, which is their shadow. :class:`Control` is the face, and
docs/decisions/0008-control.md says why it is as it is. What can't be done raises one of :mod:`.errors`, and then
nothing was changed.
"""

from .actor import SIDECAR, Actor
from .control import UNSET, Control
from .errors import Conflict, ControlError, NotThere, Refused, Unfinished
from .outcomes import Recorded
from .publish import Published

__all__ = [
    "SIDECAR",
    "UNSET",
    "Actor",
    "Conflict",
    "Control",
    "ControlError",
    "NotThere",
    "Published",
    "Recorded",
    "Refused",
    "Unfinished",
]
