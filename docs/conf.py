"""How the documentation becomes a site: ``sphinx-build -W --keep-going -b html docs FOLDER`` (extra ``docs``).

Every link is strict: one to a page or heading that isn't there fails the build. Links from a page to a file of the
sources are checked, too, and point at the file's name, because a site does not carry the sources.
"""

from __future__ import annotations

from importlib import metadata

project = "trimtab"
author = "the authors of trimtab"
copyright = "2026, the authors of trimtab"
release = version = metadata.version("trimtab")

extensions = ["myst_parser"]
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
suppress_warnings = ["myst.header"]  # decision records begin their sections where they like

html_theme = "furo"
html_title = f"trimtab {release}"
html_show_sphinx = False
nitpicky = True
exclude_patterns = ["overhead/*.md"]  # a table that a benchmark writes and overhead.md holds
