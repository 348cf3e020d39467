"""Words on screen: data as plain text inside Markdown, errors as sentences, spans of time."""

from __future__ import annotations

import math
import re
from datetime import datetime

from curation.errors import CurationError

JOINER = "\u2060"  # takes no room, and is no blank: what it stands in is left as it is


def plain(text: object) -> str:
    """Return `text` as Markdown that shows exactly its characters: no links, images, colours or formulas from data.

    Streamlit makes arrows, dashes, emoji and links of what is escaped too: `JOINER` keeps ``->``, ``:smile:`` and
    ``https://`` apart.
    """
    text = re.sub(r"(?<!\S)(<->|<-|->|--|[<>~]=)(?!\S)", lambda found: JOINER.join(found[0]), str(text))
    text = re.sub(r":(?=[\w+/-]+:)", f":{JOINER}", text)
    text = re.sub(r"(?i)(?<=http:)(?=//)|(?<=https:)(?=//)|(?<=www)(?=\.)|(?=@[-\w]+\.)", JOINER, text)
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text).replace("\n", "  \n")


def sentence(error: CurationError | str) -> str:
    """Return an error's message, ready for Markdown, beginning like a sentence."""
    text = str(error).strip()
    return plain(text[:1].upper() + text[1:] if re.match(r"[a-z]+ ", text) else text)


def duration(seconds: float) -> str:
    """Return a span of time in the two words that matter."""
    s = math.ceil(seconds)
    if s < 60:
        return f"{s} s"
    return f"{s // 60} min {s % 60} s" if s < 3600 else f"{s // 3600} h {s % 3600 // 60} min"


def size(n_bytes: float) -> str:
    """Return an amount of memory or disk in the unit that suits it: ``613 MB``, ``1.4 GB``."""
    if n_bytes < 1e6:
        return f"{n_bytes / 1e3:,.0f} kB"
    return f"{n_bytes / 1e6:,.0f} MB" if n_bytes < 1e9 else f"{n_bytes / 1e9:,.1f} GB"


def moment(seconds: float) -> str:
    """Return a time, in seconds since 1970, as people write it: ``21 Nov, 14:05``; the year where it is another."""
    then, now = datetime.fromtimestamp(seconds), datetime.now()
    return f"{then.day} {then:%b}" + (f", {then:%H:%M}" if then.year == now.year else f" {then.year}")
