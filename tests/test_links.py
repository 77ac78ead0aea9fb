"""Every link of the pages in Markdown leads to a file, and to a heading, that is there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from conftest import ROOT
from markdown_it import MarkdownIt
from markdown_it.token import Token

PAGES = sorted(
    subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
)
MARKDOWN = MarkdownIt("gfm-like", {"linkify": False})


def tokens(page: Path) -> Iterator[Token]:
    for token in MARKDOWN.parse(page.read_text(encoding="utf-8")):
        yield token
        yield from token.children or ()


def links(page: Path) -> Iterator[str]:
    """The targets of links and pictures, those written as HTML, too."""
    for token in tokens(page):
        target = token.attrGet("href") or token.attrGet("src")
        if target:
            yield str(target)
        if token.type.startswith("html"):
            yield from re.findall(r'(?:href|src)="([^"]+)"', token.content)


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in a link, as the hosts of Git name them."""
    found: list[str] = []
    every = list(MARKDOWN.parse(page.read_text(encoding="utf-8")))
    for token, inside in pairwise(every):
        if token.type == "heading_open":
            words = "".join(part.content for part in inside.children or ())
            name = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            found.append(f"{name}-{found.count(name)}" if name in found else name)
    return set(found)


def broken(page: Path) -> list[str]:
    """The links of a page that lead nowhere; those to other sites are not followed."""
    wrong = []
    for link in links(page):
        parts = urlsplit(link)
        if parts.scheme:
            if parts.scheme not in ("https", "http", "mailto"):
                wrong.append(link)
            continue
        target = page.parent / unquote(parts.path) if parts.path else page
        if not target.exists() or parts.path.startswith("/"):
            wrong.append(link)
        elif parts.fragment and target.suffix == ".md" and parts.fragment not in anchors(target):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    assert broken(ROOT / page) == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    (tmp_path / "other.md").write_text("# What `is` here?\n\n## Twice\n\n## Twice\n")
    page.write_text(
        "[a](other.md) [b](other.md#what-is-here) [c](other.md#twice-1) [d](#top) [e](gone.md)\n"
        "[f](other.md#gone) ![g](gone.png) <img src='x' src=\"gone.svg\"> `[h](code.md)`\n\n# Top\n"
    )
    assert broken(page) == ["gone.md", "other.md#gone", "gone.png", "gone.svg"]
