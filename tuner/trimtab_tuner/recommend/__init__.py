"""From what the analysis found to what a person may consent to: proposed changes of one knob at one place.

In: the store and its findings. Out: :func:`recommend` gives :class:`Proposal` objects. Nothing is written here, and
nothing is changed: :mod:`..control` keeps the proposals and turns an accepted one into a rule of the policy.
"""

from .families import recommend
from .proposal import Proposal

__all__ = ["Proposal", "recommend"]
