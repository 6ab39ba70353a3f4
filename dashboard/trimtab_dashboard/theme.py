"""Colours, for Streamlit's elements and for charts, light and dark.

In: nothing. Out: Streamlit options, a little CSS, and the colours that charts name. One module, so that a state has the
same colour in every chart. The palette is Okabe and Ito's, which people with any common colour vision tell apart
(M. Okabe, K. Ito, "Color Universal Design", 2008); still nothing is told by colour alone: marks differ in shape and
height, and each state has its sign and word.
"""

from __future__ import annotations

from typing import Any, Final

OPTIONS: Final[dict[str, Any]] = {
    "theme.light.primaryColor": "#0a66ad",
    "theme.light.backgroundColor": "#ffffff",
    "theme.light.secondaryBackgroundColor": "#f3f4f6",
    "theme.light.textColor": "#1c2126",
    "theme.light.linkColor": "#0a5a9c",
    "theme.light.codeBackgroundColor": "#f3f4f6",
    "theme.dark.primaryColor": "#4ea3e3",
    "theme.dark.backgroundColor": "#14171a",
    "theme.dark.secondaryBackgroundColor": "#1e2328",
    "theme.dark.textColor": "#e6e8ea",
    "theme.dark.linkColor": "#7dbdf0",
    "theme.dark.codeBackgroundColor": "#1e2328",
    "theme.baseRadius": "small",
    "theme.showWidgetBorder": True,
    "theme.baseFontSize": 15,
    "theme.codeFontSize": "0.85rem",
    "theme.metricValueFontSize": "1.4rem",
    "theme.headingFontSizes": ["1.75rem", "1.3rem", "1.1rem", "1rem", "0.95rem", "0.9rem"],
}
"""Streamlit's theme options; fonts are Streamlit's own, served by this process."""

CSS: Final = """<style>
[data-testid="stMainBlockContainer"] { max-width: 1240px; padding: 3rem 2.5rem 4rem; }
[data-testid="stMetricValue"], [data-testid="stMetricValue"] * {
  font-variant-numeric: tabular-nums; white-space: normal; overflow: visible; line-height: 1.25;
}
[data-testid="stMain"] [data-testid="stPageLink-NavLink"] p {
  color: light-dark(#0a5a9c, #7dbdf0); text-decoration: underline; text-underline-offset: .15em;
}
[data-testid="stCaptionContainer"] { color: light-dark(#565e66, #aab1b8); opacity: 1; }
[data-stale="true"] { opacity: 1 !important; transition: none !important; }
[data-testid="stCode"] .token.keyword { color: light-dark(#9a1f4a, #ffa3b5); }
[data-testid="stCode"] .token.comment { color: light-dark(#5a6470, #a3adb8); }
[class*="st-key-over_time"] [data-testid="stVegaLiteChart"] { min-height: 200px; }
a.out { color: light-dark(#0a5a9c, #7dbdf0); font-size: .85rem; }
@media (max-width: 1000px) {
  .st-key-figures [data-testid="stHorizontalBlock"],
  [class*="st-key-over_time"] [data-testid="stHorizontalBlock"] {
    flex-wrap: wrap;
  }
  .st-key-figures [data-testid="stColumn"] { min-width: calc(50% - 1rem); }
  [class*="st-key-over_time"] [data-testid="stColumn"] { min-width: 100%; }
}
@media (max-width: 640px) { [data-testid="stMainBlockContainer"] { padding: 3rem 1rem 3rem; } }
</style>"""
"""Room for tables without lines too long to read, figures that are never cut off, links that look like links; and
nothing that fades or moves while numbers are asked for anew: a chart that is drawn again keeps its room."""

QUIET_MARKS: Final = {"mark": {"aria": False}}
"""A chart's configuration under which a screen reader is told its one description, and not "bar" for each mark."""

GOOD: Final = "#0072b2"
"""Went well: blue."""
BAD: Final = "#d55e00"
"""Went wrong: vermilion."""
IDLE: Final = "#8b9298"
"""Nothing was going on, or nothing is known: grey."""
TOOL: Final = "#009e73"
"""A tool ran: bluish green."""
CUT: Final = "#cc79a7"
"""Left or cut before its end: reddish purple."""
