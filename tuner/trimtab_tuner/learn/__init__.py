"""Learning which value of a knob is better while agents run, and when that is proven.

In: observations of randomised units. Out: weights to publish, events to tell, verdicts to show. Sans-IO: the live loop
(:mod:`..tune`) and the replay benchmark (benchmarks/tune_replay.py) run the same code.
"""

from .advice import Advice, Arm, Bounds, CampaignSpec, Event, Verdict
from .campaign import Campaign
from .learner import FLOOR, Learner
from .objective import Objective
from .observation import Observation
from .states import StateError

__all__ = [
    "FLOOR",
    "Advice",
    "Arm",
    "Bounds",
    "Campaign",
    "CampaignSpec",
    "Event",
    "Learner",
    "Objective",
    "Observation",
    "StateError",
    "Verdict",
]
