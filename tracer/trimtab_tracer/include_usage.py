"""Asks for the usage of OpenAI-format streams whose agent does not ask, where the setting ``include_usage`` says so.

In: the request of a chat completion that is to be streamed. Out: the same with ``stream_options.include_usage``, or as
it was: signed and compressed requests, bodies that are no plain JSON object and those that set ``stream_options``
themselves are left alone (:mod:`.rewrite`). What the option adds to the answer is taken out again before the agent sees
it (:mod:`.wire.usage_chunk`). A module of its own because this observes and steers nothing: it needs no policy, and
holds for what a policy makes of the request, too.

Not every server knows the option. One that refuses the request (400 or 422) before it ever answered one gets it once
more as the agent made it. It is not asked again where it takes that, or where the refusal names the option, whenever
that comes; else the request was wrong by itself, and says nothing about the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import rewrite
from .guard import guarded
from .resending import Sending
from .wire import formats

if TYPE_CHECKING:
    from .wire.formats import WireFormat

REFUSALS = (400, 422)
"""Statuses that say that a request is not understood."""

ALWAYS_TELL = ("openrouter.ai",)
"""Hosts that tell the usage of every stream, asked or not: what they send is what the agent would have got."""

MAX_KNOWN = 1000
"""Servers and models whose answer is remembered; beyond that all are forgotten."""

Asked = tuple[str, str, str | None]
"""Host, path and model of a request: behind one host there may be many servers."""


class UsageOption:
    """What is known of the servers that one process talks to. Thread-safe: each step is one of a dictionary's."""

    def __init__(self) -> None:
        self._accepts: dict[Asked, bool] = {}

    def ask(self, fmt: WireFormat, sending: Sending) -> Sending:
        """``sending`` with the question for its usage; itself where it is not to be asked."""
        return self._ask(fmt, sending) or sending

    @guarded()
    def _ask(self, fmt: WireFormat, sending: Sending) -> Sending | None:
        if sending.was_refused or fmt is not formats.CHAT:
            return None
        if sending.body is None or b'"stream_options"' in sending.body:
            return None
        request = sending.request
        if request.url.host.endswith(ALWAYS_TELL) or self._accepts.get(_asked(sending)) is False:
            return None
        draft = rewrite.draft(fmt.api, request, sending.body)
        asking = draft.with_usage() if draft is not None else None
        if asking is None:
            return None
        content = asking.content()
        asked = rewrite.remade(request, content=content)
        asked.headers["accept-encoding"] = "identity"  # what is compressed can't be stripped chunk by chunk
        return sending._replace(request=asked, body=content, plain=sending)

    def answered(self, sending: Sending) -> None:
        """The server took the request, with the question or, where it has just refused it so, without."""
        self._note(sending, is_accepted=not sending.was_refused)

    def refused(self, sending: Sending, body: bytes) -> bool:
        """Whether the option may be what the server refused, so that the request is to be sent without it."""
        if b"stream_options" in body:
            self._note(sending, is_accepted=False)
            return True
        return self._accepts.get(_asked(sending)) is not True

    def _note(self, sending: Sending, is_accepted: bool) -> None:
        if len(self._accepts) > MAX_KNOWN:
            self._accepts.clear()
        self._accepts[_asked(sending)] = is_accepted


def _asked(sending: Sending) -> Asked:
    url: Any = sending.request.url
    return url.host, url.path, sending.model
