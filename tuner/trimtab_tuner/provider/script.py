"""What the scenario says to a request, given all requests before it.

In: requests in order of receipt, as :class:`~.formats.base.Asked`. Out: a :class:`Pick` of rule, answer and fault. This
is the only module of the provider that remembers anything that changes an answer: how often each rule was used, how
often each model was asked, and the turns behind each response id that a later request may continue. It runs in the
server's one thread, so it takes no locks.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, replace

from .answers import Answer, Fault
from .formats.base import Asked, BadRequestError, Format, Problem, dumps
from .ids import draw
from .rules import Request, Rule
from .scenario import Scenario

MAX_REMEMBERED = 10_000
"""Responses that can be continued by id; the oldest are forgotten beyond that."""

DEFAULT_ANSWER = Answer(text="This is a scripted answer.")
"""What a scenario without any rule says."""


@dataclass(frozen=True, slots=True)
class Pick:
    """What to do with one request."""

    rule: int | None
    answer: Answer
    fault: Fault | None


@dataclass(frozen=True, slots=True)
class _Turn:
    step: int
    last_user: str


class Script:
    """The scenario in progress."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._scenario = scenario
        self._seed = seed
        self._asked: Counter[str] = Counter()
        self._met: Counter[int] = Counter()
        self._used: Counter[int] = Counter()
        self._turns: OrderedDict[str, _Turn] = OrderedDict()

    def continued(self, asked: Asked) -> Asked | None:
        """``asked`` with the turns of the response that it continues; None where that response is not known."""
        if asked.previous_id is None:
            return asked
        turn = self._turns.get(asked.previous_id)
        if turn is None:
            return None
        return replace(asked, step=turn.step + 1 + asked.step, last_user=asked.last_user or turn.last_user)

    def remember(self, response_id: str, asked: Asked) -> None:
        """Let later requests continue the response ``response_id`` that answered ``asked``."""
        self._turns[response_id] = _Turn(asked.step, asked.last_user)
        while len(self._turns) > MAX_REMEMBERED:
            self._turns.popitem(last=False)

    def pick(self, asked: Asked, fmt: Format, api_key: str = "", in_flight: int = 1) -> Pick:
        """The first rule that answers ``asked``.

        Args:
            asked: What the request asks for.
            fmt: Its API.
            api_key: The key that it was sent with.
            in_flight: Requests under way, this one included.

        Raises:
            BadRequestError: no rule does, or the scenario says that the model does not exist.
        """
        self._asked[asked.model] += 1
        nth = self._asked[asked.model]
        models = self._scenario.models
        if models and asked.model not in models:
            raise BadRequestError(
                Problem(404, f"The model '{asked.model}' does not exist.", code="model_not_found", param="model")
            )
        body = dumps(asked.body).decode("utf-8", "surrogatepass")
        request = Request(fmt.api, asked.model, asked.step, nth, asked.last_user, fmt.embeds, body, api_key, in_flight)
        for index, rule in enumerate(self._scenario.rules):
            if self._takes(index, rule, request):
                use = self._used[index]
                self._used[index] += 1
                return Pick(index, rule.answer or DEFAULT_ANSWER, rule.fault_at(use))
        if self._scenario.otherwise is not None:
            return Pick(None, self._scenario.otherwise, None)
        if not self._scenario.rules or fmt.embeds:
            return Pick(None, DEFAULT_ANSWER, None)
        raise BadRequestError(
            Problem(
                400,
                f"The scenario has no rule for api {fmt.api!r}, model {asked.model!r}, step {asked.step}, request {nth}"
                " of this model; add one, or an `otherwise` answer.",
                code="no_rule",
            )
        )

    def _takes(self, index: int, rule: Rule, request: Request) -> bool:
        limit = rule.limit()
        if limit is not None and self._used[index] >= limit:
            return False
        if not rule.fits(request):
            return False
        self._met[index] += 1
        return rule.probability >= 1.0 or draw(self._seed, index, self._met[index]) < rule.probability
