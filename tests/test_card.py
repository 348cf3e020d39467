"""A document's two renderings: everything escaped, nothing fetched, the same bytes each time."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import plotly.graph_objects as go
import pytest

from curation.card import Code, Facts, Figure, Section, Table, Text, card, markdown_card

HOSTILE = (
    "</pre></script><script>alert(1)</script> <img src=x onerror=alert(1)> **b** [l](http://x.y) ![i](z) | `c`\n# h"
)
SECTIONS = [
    Section(
        HOSTILE,
        [
            Text(HOSTILE),
            Facts([(HOSTILE, HOSTILE)]),
            Table((HOSTILE, "n"), [(HOSTILE, "1")], frozenset({"n"})),
            Code(HOSTILE),
            Figure(go.Figure(go.Bar(x=[HOSTILE], y=[1], name=HOSTILE)), HOSTILE),
        ],
    ),
    Section("", [Figure(go.Figure(go.Bar(x=[1], y=[1])), "second")]),
]


def without_plotly(page: str) -> str:
    from plotly.offline import get_plotlyjs

    assert page.count(get_plotlyjs()) == 1
    return page.replace(get_plotlyjs(), "")


def test_no_text_becomes_markup_in_html() -> None:
    page = without_plotly(card(SECTIONS, HOSTILE))
    assert "<script>alert" not in page and "<img" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 10  # title twice, heading, six in blocks, caption
    assert len(re.findall(r"<h2>", page)) == 1


def test_the_page_asks_no_address_and_holds_plotly_once() -> None:
    page = without_plotly(card(SECTIONS, "t"))
    assert not re.search(
        r"""(src|href|url)\s*[=(]\s*["']?(https?:)?//""", page.replace("&lt;", "<").replace(HOSTILE, "")
    )
    assert "default-src 'none'" in page and page.count("figure-0") and page.count("figure-1")
    assert "<script>" not in card([Section("s", [Text("t")])])


def test_the_same_sections_give_the_same_bytes() -> None:
    assert card(SECTIONS, "t") == card(SECTIONS, "t")


def test_no_text_becomes_markup_in_markdown() -> None:
    text = markdown_card(SECTIONS, HOSTILE)
    lines = [line for line in text.split("\n") if not line.startswith("```")]
    assert [line for line in lines if line.startswith("#")][:1] == [lines[0]]
    outside_code = text[: text.index("```")]
    for mark in ("<", "[", "]", "`", "|", "!", "*"):
        bare = re.findall(rf"(?<!\\){re.escape(mark)}", outside_code)
        if mark == "|":
            assert len(bare) == 3 * 3  # the table's own
        else:
            assert bare == []
    assert "http\\://x.y" in outside_code
    assert not re.search(r"(?m)^# h", outside_code)


@pytest.mark.parametrize("text", ["- item", "1. item", "+ item", "=====", "-----", "www.evil.com", "a:b @c ~~d~~ $e$"])
def test_what_would_begin_a_block_is_escaped(text: str) -> None:
    line = markdown_card([Section("", [Text(text)])]).split("\n")[2]
    assert line != text and line.replace("\\", "") == text


def test_code_with_fences_stays_inside_its_own() -> None:
    text = markdown_card([Section("", [Code("a\n```\nb\n````")])])
    assert "`````\na\n```\nb\n````\n`````" in text


def test_a_figure_brings_its_data_as_escaped_json() -> None:
    page = without_plotly(card(SECTIONS, "t"))
    assert "\\u003cscript\\u003ealert(1)" in page


def test_importing_it_loads_no_plotly() -> None:
    code = "import sys, json, curation.card; print(json.dumps('plotly' in sys.modules))"
    assert json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout) is False
