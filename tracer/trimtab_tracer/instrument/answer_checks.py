"""Asks the checks of an escalation about a response, before it is handed out.

In: the capture of a call that a cheaper model answered first, and its response. Out: in the call's detour, the name of
the check that turns the answer down, empty where none does; what breaks here leaves nothing there, which counts as no.
Apart from :mod:`.send_again`, which goes on by it, because an event loop must not wait for the agent's own checks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..capture import Capture
from ..detours import Detour
from ..guard import guarded, guarded_async
from ..verifiers import Judged, answer_of, verifiers


@guarded()
def check(capture: Capture, response: Any) -> None:
    """Ask the checks of the call's escalation, where there is one and ``response`` an answer of the first model."""
    detour, asking = capture.detour, _asking(capture, response)
    if detour is not None and asking is not None:
        _note(detour, asking())


@guarded_async
async def acheck(capture: Capture, response: Any) -> None:
    """The same; what the agent's own checks take, the event loop does not."""
    detour, asking = capture.detour, _asking(capture, response)
    if detour is None or detour.escalation is None or asking is None:
        return
    if not verifiers.has_own(detour.escalation.checks):
        _note(detour, asking())
        return
    import anyio.to_thread

    _note(detour, await anyio.to_thread.run_sync(asking, abandon_on_cancel=True))


def _note(detour: Detour, judged: Judged) -> None:
    detour.failed_check, detour.grade = judged.failed or "", judged.grade


def _asking(capture: Capture, response: Any) -> Callable[[], Judged] | None:
    """Gives what the checks say of an answer; None where there is nothing to ask."""
    escalation = capture.detour.escalation if capture.detour is not None else None
    if escalation is None or response.status_code >= 400 or not hasattr(response, "_content"):
        return None
    answer = answer_of(capture.fmt, escalation.request, response.content)
    return lambda: verifiers.judge(escalation.checks, answer, escalation.threshold)
