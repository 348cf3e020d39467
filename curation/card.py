"""A document as plain blocks, rendered as one self-contained HTML file or as Markdown.

Every text is escaped, whoever wrote it. The HTML opens offline: Plotly is inlined once, and a content security policy
refuses every address. Both renderings read the same blocks, so that nothing can be said in one and not in the other.
"""

from __future__ import annotations

import html as html_lib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import plotly.graph_objects as go


# ----------------------------------------------------------------------------------------------------------- blocks


@dataclass(frozen=True)
class Text:
    """A paragraph; `kind` is plain, lead (the headline), warning or small."""

    text: str
    kind: str = "plain"


@dataclass(frozen=True)
class Facts:
    """Names with values, one a line."""

    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Columns and rows of text; columns named in `right` are numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class Figure:
    """A Plotly figure with a caption that says what is seen; Markdown keeps the caption only."""

    figure: go.Figure
    caption: str


@dataclass(frozen=True)
class Code:
    """Text to be copied as it stands."""

    text: str


Block = Text | Facts | Table | Figure | Code


@dataclass(frozen=True)
class Section:
    """A part of the card: its title (empty for the first) and its blocks."""

    title: str
    blocks: Sequence[Block]


# ------------------------------------------------------------------------------------------------------------- HTML


def card(sections: Sequence[Section], title: str = "Selection card") -> str:
    """Return sections as one HTML file that needs nothing else; scripts and styles are inlined, addresses refused."""
    drawn = any(isinstance(b, Figure) for s in sections for b in s.blocks)
    script = ""
    if drawn:
        from plotly.offline import get_plotlyjs

        script = f"<script>{get_plotlyjs()}</script>"
    body, figures = [], 0
    for section in sections:
        inner = []
        for block in section.blocks:
            inner.append(_block_html(block, figures))
            figures += isinstance(block, Figure)
        heading = f"<h2>{_esc(section.title)}</h2>" if section.title else ""
        body.append(f"<section>{heading}{''.join(inner)}</section>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        "script-src 'unsafe-inline'; img-src data: blob:\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_esc(title)}</title><style>{_STYLE}</style>{script}</head>\n"
        f"<body><main><header>{_MARK}<p>Winnow selection card</p><h1>{_esc(title)}</h1></header>\n"
        + "\n".join(body)
        + "\n</main></body></html>\n"
    )


def _esc(text: object) -> str:
    return html_lib.escape(str(text), quote=True)


def _block_html(block: Block, number: int) -> str:
    if isinstance(block, Text):
        return f'<p class="{_esc(block.kind)}">{_esc(block.text)}</p>'
    if isinstance(block, Facts):
        return "<dl>" + "".join(f"<dt>{_esc(k)}</dt><dd>{_esc(v)}</dd>" for k, v in block.pairs) + "</dl>"
    if isinstance(block, Code):
        return f"<pre>{_esc(block.text)}</pre>"
    if isinstance(block, Figure):
        drawn = block.figure.to_html(
            full_html=False,
            include_plotlyjs=False,
            include_mathjax=False,
            div_id=f"figure-{number}",
            config={"displayModeBar": False, "responsive": True},
        )
        return f"<figure>{drawn}<figcaption>{_esc(block.caption)}</figcaption></figure>"
    right = [' class="n"' if c in block.right else "" for c in block.columns]
    head = "".join(f"<th{r}>{_esc(c)}</th>" for c, r in zip(block.columns, right, strict=True))
    rows = "".join(
        "<tr>" + "".join(f"<td{r}>{_esc(v)}</td>" for v, r in zip(row, right, strict=True)) + "</tr>"
        for row in block.rows
    )
    return f'<div class="t"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


_DOTS = [(5, 6, 0), (15, 6, 0), (25, 6, 1), (5, 16, 0), (15, 16, 1), (25, 16, 0), (5, 26, 1), (15, 26, 0), (25, 26, 0)]
_MARK = (
    '<svg viewBox="0 0 30 32" width="30" height="32" role="img" aria-label="Winnow">'
    + "".join(
        f'<circle cx="{x}" cy="{y}" r="{4.2 if on else 2.2}" fill="{"#0e7c6b" if on else "#8f8c81"}"/>'
        for x, y, on in _DOTS
    )
    + "</svg>"
)

_STYLE = """
:root{--ink:#26281f;--muted:#6f6c62;--line:#dcd7ca;--paper:#fdfcf9;--soft:#f5f2ea;--teal:#0e7c6b;--amber:#c98a0b}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.55 "Source Sans 3","Source Sans Pro",system-ui,sans-serif}
main{max-width:980px;margin:0 auto;padding:48px 32px 96px}
header{border-bottom:2px solid var(--teal);padding-bottom:16px;margin-bottom:28px}
header p{margin:8px 0 0;color:var(--teal);font-weight:600;letter-spacing:.02em}
h1,h2{font-family:"Source Serif 4","Source Serif Pro",Georgia,serif;line-height:1.2;margin:0;overflow-wrap:anywhere}
h1{font-size:32px}
h2{font-size:22px;margin:0 0 12px}
section{margin:0 0 40px}
p{margin:0 0 10px;max-width:72ch}
.lead{font-family:"Source Serif 4","Source Serif Pro",Georgia,serif;font-size:24px;line-height:1.35}
.warning{background:#fbf3df;border-left:4px solid var(--amber);border-radius:4px;padding:10px 14px;max-width:none}
.small{color:var(--muted);font-size:14px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:6px 24px;margin:0}
dt{color:var(--muted)}
dd{margin:0;overflow-wrap:anywhere}
figure{margin:16px 0 24px}
figcaption{color:var(--muted);font-size:14px}
.t{overflow-x:auto;margin:12px 0 20px}
table{border-collapse:collapse;width:100%;font-size:14.5px}
th{color:var(--muted);font-weight:600;text-align:left;white-space:nowrap;background:var(--soft)}
th:first-child:not(.n),td:first-child:not(.n){min-width:8.5em}
th,td{padding:7px 12px;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
pre{background:var(--soft);border:1px solid var(--line);border-radius:6px;padding:16px;overflow:auto;max-height:420px;
font:13px/1.5 ui-monospace,"Source Code Pro",monospace;white-space:pre-wrap;overflow-wrap:anywhere}
@media(max-width:640px){main{padding:24px 16px}dl{grid-template-columns:1fr;gap:2px}dd{margin-bottom:10px}}
@media print{main{padding:0}pre{max-height:none}section{break-inside:avoid-page}}
"""


# --------------------------------------------------------------------------------------------------------- Markdown


def markdown_card(sections: Sequence[Section], title: str = "Selection card") -> str:
    """Return sections as Markdown in which texts stand for themselves: no link, image, tag or heading comes of them."""
    parts = [f"# {_md(title)}"]
    for section in sections:
        if section.title:
            parts.append(f"## {_md(section.title)}")
        parts += [_block_markdown(block) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def _block_markdown(block: Block) -> str:
    if isinstance(block, Text):
        text = _md(block.text)
        return {"lead": f"**{text}**", "warning": f"> {text}"}.get(block.kind, text)
    if isinstance(block, Facts):
        return "\n".join(f"- {_md(k)}: {_md(v)}" for k, v in block.pairs)
    if isinstance(block, Code):
        fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", block.text)), default=0))
        return f"{fence}\n{block.text}\n{fence}"
    if isinstance(block, Figure):
        return f"_{_md(block.caption)} The figure is in the HTML card._"
    rules = ["---:" if c in block.right else "---" for c in block.columns]
    lines = [block.columns, rules, *block.rows]
    return "\n".join("| " + " | ".join(cell if line is rules else _md(cell) for cell in line) + " |" for line in lines)


def _md(text: object) -> str:
    """Return `text` on one line, every character that Markdown could read as markup escaped."""
    line = " ".join(str(text).split())
    line = re.sub(r"([\\`*_\[\]{}<>|~$#&!@^])", r"\\\1", line)
    line = re.sub(r":(?=[\w/])", r"\\:", line)  # bare addresses, :emoji:
    line = re.sub(r"(?i)\bwww\.", r"www\\.", line)
    line = re.sub(r"^([-+=])(?=[-+=\s]|$)", r"\\\1", line)  # lists, rules, headings; not a number's sign
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", line)
