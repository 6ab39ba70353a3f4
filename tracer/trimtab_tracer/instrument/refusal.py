"""What the agent gets where a request of its call is ended or not sent by a policy: the HTTP library's own classes.

In: a request of either HTTP library, and why. Out: the library's timeout, its connection error, or a response of it. A
module of its own because an SDK makes of these what it makes of the real ones, and because each says that it is ours:
the text of the exception, the header ``x-trimtab`` and the error's type.
"""

from __future__ import annotations

import datetime
import sys
from typing import Any, NoReturn

from ..retries import Failure

OPEN = "circuit_breaker_open"
"""Type and code of the error in a response that we made."""
UNAVAILABLE = 503
"""Status of such a response where the provider's last failure had none that fits."""


def time_is_over(request: Any, which: str, limit_s: float | None) -> Exception:
    """The HTTP library's read timeout, for a limit that a policy set.

    Args:
        request: Whose time is over.
        which: ``total`` or ``first_token``.
        limit_s: The limit in seconds.
    """
    error: Exception = _library(request).ReadTimeout(
        f"trimtab: the policy's timeout_s.{which} of {limit_s:g} s is over", request=request
    )
    return error


def refused(request: Any, cause: Failure) -> Any:
    """A response in the place of one that was not asked for, because the breaker is open; raises where there was none.

    Args:
        request: That was not sent.
        cause: The failure that was met last.

    Raises:
        TransportError: of the HTTP library: a timeout after timeouts, a connection error after lost connections.
    """
    if cause.status is None:
        _raise(request, cause)
    said = f"trimtab: not sent, the policy's circuit_breaker is open after {cause.error_class} ({cause.status})"
    response = _library(request).Response(
        cause.status if cause.status >= 500 else UNAVAILABLE,
        headers={"x-should-retry": "false", "x-trimtab": OPEN},
        json={"type": "error", "error": {"type": OPEN, "code": OPEN, "message": said}},
        request=request,
    )
    response.elapsed = datetime.timedelta(0)
    return response


def _raise(request: Any, cause: Failure) -> NoReturn:
    library = _library(request)
    error = library.ReadTimeout if cause.error_class == "timeout" else library.ConnectError
    raise error(f"trimtab: not sent, the policy's circuit_breaker is open after {cause.error_class}", request=request)


def _library(request: Any) -> Any:
    """httpx or httpx2: whichever the request is of."""
    names = (cls.__module__.partition(".")[0] for cls in type(request).__mro__)
    return sys.modules[next(name for name in names if name in ("httpx", "httpx2"))]
