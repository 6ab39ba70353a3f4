"""What a store says, for people: one report as text, as JSON, and as one HTML file that needs nothing else.

In: a connection to the store. Out: :func:`build` makes the :class:`Report`, :func:`as_json`, :func:`as_html` and
:func:`print_text` show it; :func:`from_json` brings one back that travelled from a sidecar.
"""

from __future__ import annotations

from .build import build
from .gates import Verdict, judge
from .html import as_html
from .markdown import as_markdown
from .model import Report, as_json, from_json
from .text import print_text

__all__ = ["Report", "Verdict", "as_html", "as_json", "as_markdown", "build", "from_json", "judge", "print_text"]
