"""Learning while agents run: from what drawn values came to, to the weights that agents draw with next.

In: the store, whose decisions say what each run drew and with what probability, and :mod:`..learn`, which knows nothing
of stores and clocks. Out: new weights in the policy, events, and proposals that rest on an effect, all by way of
:class:`..control.Control`. What a person has to consent to stays with the person unless the knob's mode is ``auto``.
"""

from .live import Tuner

__all__ = ["Tuner"]
