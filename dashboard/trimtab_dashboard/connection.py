"""Which sidecar this process asks.

In: address and token, once, when the process starts. Out: clients. Apart from :mod:`.data` because the server knows
them before Streamlit runs, and the pages only need to ask.
"""

from __future__ import annotations

from trimtab_tracer.errors import SidecarError
from trimtab_tuner.client import Client

TIMEOUT_S = 60.0
"""How long one answer may take."""

_targets: list[tuple[str, str]] = []


def use(api_url: str, token: str) -> None:
    """Ask this sidecar from now on."""
    _targets[:] = [(api_url, token)]


def url() -> str:
    """Where it listens.

    Raises:
        SidecarError: nobody has said it.
    """
    return _target()[0]


def client(name: str | None = None, *, timeout_s: float = TIMEOUT_S) -> Client:
    """A client that acts as the person called ``name``."""
    return Client(*_target(), timeout_s=timeout_s, actor=name, via="dashboard")


def _target() -> tuple[str, str]:
    if not _targets:
        raise SidecarError("The dashboard was started without a sidecar; `trimtab up` starts it with one.")
    return _targets[0]
