"""What makes a policy that came over the network trustworthy: an HMAC under a key that agent and sidecar share.

In: the key's text (``policy.key``, ``TRIMTAB_POLICY_KEY``) and a document's bytes. Out: the signature's header and the
bearer that asks for the policy. A module of its own because both sides must agree on it to the byte, and the sidecar
needs no HTTP client for it. The key itself is never sent.
"""

from __future__ import annotations

import hashlib
import hmac

SIGNATURE_HEADER = "x-trimtab-signature"
"""Header of the document's reply."""


def sign(key: str, body: bytes) -> str:
    """Value of :data:`SIGNATURE_HEADER` for a document."""
    return f"sha256={_mac(key, body)}"


def is_signed(key: str, body: bytes, header: str | None) -> bool:
    """Whether ``header`` is what :func:`sign` gives; takes the same time for every wrong one."""
    return header is not None and hmac.compare_digest(sign(key, body).encode(), header.encode("utf-8", "replace"))


def reader_token(key: str) -> str:
    """The bearer that may read the policy and nothing else."""
    return _mac(key, b"trimtab policy reader")


def _mac(key: str, message: bytes) -> str:
    return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()
