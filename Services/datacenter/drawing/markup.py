"""HTML as a tree of elements: what is put into it as text stays text. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from Services.datacenter.drawing.text import clean

Content: TypeAlias = "Element | str"


def node(name: str, /, *contents: Content, **attributes: str) -> Element:
    """An element with texts and elements in it. Underscores in names of attributes stand for hyphens; `class_` is the class."""
    made = Element(name, {key.rstrip("_").replace("_", "-"): clean(value) for key, value in attributes.items()})
    last: Element | None = None
    for content in contents:
        if isinstance(content, Element):
            made.append(content)
            last = content
        elif last is None:
            made.text = (made.text or "") + clean(content)
        else:
            last.tail = (last.tail or "") + clean(content)
    return made


def table(caption: str, columns: Iterable[str], rows: Iterable[Iterable[Content]], numbers: int = 0) -> Element:
    """A table that scrolls sideways where it is too wide. The last `numbers` columns are aligned to the right."""
    heads = list(columns)
    kinds = ["number" if index >= len(heads) - numbers else "" for index in range(len(heads))]
    head = node("tr", *(node("th", text, scope="col", class_=kind) for text, kind in zip(heads, kinds, strict=True)))
    body = [node("tr", *(node("td", cell, class_=kind) for cell, kind in zip(row, kinds, strict=True))) for row in rows]
    made = node("table", node("caption", caption), node("thead", head), node("tbody", *body))
    return scrolling(caption, made)


def scrolling(label: str, content: Element) -> Element:
    """Something wide, which scrolls sideways by itself, also with the keyboard."""
    return node("div", content, class_="scroll", role="region", aria_label=label, tabindex="0")


def page(title: str, style: str, body: Iterable[Element]) -> str:
    """A page that needs nothing else, loads nothing and runs nothing, whatever its texts say."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    css = Element("style")
    css.text = style
    head = node(
        "head",
        node("meta", charset="utf-8"),
        node("meta", http_equiv="Content-Security-Policy", content=policy),
        node("meta", name="viewport", content="width=device-width, initial-scale=1"),
        node("meta", name="color-scheme", content="light dark"),
        node("title", title),
        css,
    )
    root = node("html", head, node("body", node("main", *body)), lang="en")
    return f"<!doctype html>\n{ElementTree.tostring(root, encoding='unicode', method='html')}\n"
