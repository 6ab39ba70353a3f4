"""Asks the checks of an escalation about a response, before it is handed out.

In: the capture of a call that a cheaper model answered first, and its response. Out: in the call's detour, the name of
the check that turns the answer down, empty where none does; what breaks here leaves nothing there, which counts as no.
Apart from :mod:`.send_again`, which goes on by it, because an event loop must not wait for the agent's own checks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..capture import Capture
from ..guard import guarded, guarded_async
from ..verifiers import answer_of, verifiers


@guarded()
def check(capture: Capture, response: Any) -> None:
    """Ask the checks of the call's escalation, where there is one and ``response`` an answer of the first model."""
    detour, asking = capture.detour, _asking(capture, response)
    if detour is not None and asking is not None:
        detour.failed_check = asking()


@guarded_async
async def acheck(capture: Capture, response: Any) -> None:
    """The same; what the agent's own checks take, the event loop does not."""
    detour, asking = capture.detour, _asking(capture, response)
    if detour is None or detour.escalation is None or asking is None:
        return
    if not verifiers.has_own(detour.escalation.checks):
        detour.failed_check = asking()
        return
    import anyio.to_thread

    detour.failed_check = await anyio.to_thread.run_sync(asking, abandon_on_cancel=True)


def _asking(capture: Capture, response: Any) -> Callable[[], str] | None:
    """Gives the first check that an answer fails, empty where it passes all; None where there is nothing to ask."""
    escalation = capture.detour.escalation if capture.detour is not None else None
    if escalation is None or response.status_code >= 400 or not hasattr(response, "_content"):
        return None
    answer = answer_of(capture.fmt, escalation.request, response.content)
    return lambda: verifiers.failed(escalation.checks, answer) or ""
