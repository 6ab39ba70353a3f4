"""The two pages of signing in, as HTML that loads nothing.

In: sentences and values. Out: HTML. Apart from :mod:`.strings` because these are pages and not sentences, and from
:mod:`.login` because that decides who gets in.
"""

from __future__ import annotations

from html import escape

_STYLE = """
:root { color-scheme: light dark; --page: #fbfbf9; --card: #fff; --ink: #1c2126; --soft: #59626c; --line: #dfe2e4;
  --do: #0a66ad; --note: #fff6df; --edge: #d9a400; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --card: #1b1f23; --ink: #e6e8ea; --soft: #9ea7b0;
  --line: #31373d; --do: #2d7fc1; --note: #2b2616; --edge: #b58a10; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { width: min(26rem, 100vw - 2rem); background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 1.75rem; }
h1 { font-size: 1.35rem; margin: 0 0 .25rem; }
p { margin: 0 0 1rem; color: var(--soft); }
p[role=alert] { color: var(--ink); background: var(--note); border-left: 4px solid var(--edge); border-radius: 4px;
  padding: .6rem .8rem; margin-top: 1rem; }
label { display: block; font-size: .9rem; margin: .9rem 0 .25rem; }
input { width: 100%; font: inherit; color: inherit; background: var(--page); border: 1px solid var(--line);
  border-radius: 6px; padding: .5rem .6rem; }
button { margin-top: 1.25rem; width: 100%; font: inherit; font-weight: 600; color: #fff; background: var(--do);
  border: 0; border-radius: 6px; padding: .6rem; cursor: pointer; }
a { color: inherit; }
code { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .9em; }
"""


def login(following: str, sentence: str, name: str) -> str:
    """The form.

    Args:
        following: Path to go on to.
        sentence: What has to be said; empty for nothing.
        name: What was typed as name before.
    """
    said = f'<p role="alert">{escape(sentence)}</p>' if sentence else ""
    return _page(
        f"""<h1>trimtab dashboard</h1>
<p>Print a one-time link with <code>trimtab dashboard</code>, or sign in with the token from the home.</p>
{said}
<form method="post" action="/login">
<input type="hidden" name="next" value="{escape(following)}">
<label for="name">Your name, as the audit will show it</label>
<input id="name" name="name" value="{escape(name)}" maxlength="80" autocomplete="name" required autofocus>
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="off" required>
<button type="submit">Sign in</button>
</form>"""
    )


def entered(following: str) -> str:
    """Leads on to the path ``following`` by itself."""
    path = escape(following)
    return _page(
        f'<h1>Signed in</h1><p><a href="{path}">To the dashboard</a></p>',
        head=f'<meta http-equiv="refresh" content="0;url={path}">',
    )


def _page(main: str, head: str = "") -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{head}<title>trimtab</title><style>{_STYLE}</style></head><body><main>{main}</main></body></html>"
    )
