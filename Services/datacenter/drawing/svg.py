"""What drawings are made of: SVG elements, whose texts cannot break out of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from Services.datacenter.drawing.layout import Point, Size
from Services.datacenter.drawing.style import colours, drawing_rules
from Services.datacenter.drawing.text import clean

MARGIN = 16.0  # pixels around a drawing
HEADING_HEIGHT = 34.0


@dataclass(frozen=True)
class Drawing:
    """A part of a page: elements in a rectangle whose upper left corner is 0, 0."""

    title: str
    description: str
    size: Size
    body: Element


def element(name: str, text: str = "", **attributes: object) -> Element:
    """An element. Underscores in names stand for hyphens; `class_` is the class; numbers get one decimal place."""
    made = Element(name, {key.rstrip("_").replace("_", "-"): _written(value) for key, value in attributes.items()})
    made.text = clean(text) or None
    return made


def group(kind: str, *children: Element, tip: str = "") -> Element:
    """Elements that belong together, with a text that is shown to who points at them and read to who does not see."""
    made = element("g", class_=kind)
    if tip:
        made.append(element("title", tip))
    made.extend(children)
    return made


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "middle") -> Element:
    """A line of text on the base line `y`."""
    return element("text", words, x=x, y=y, class_=kind, text_anchor=anchor)


def curve(points: Sequence[Point], kind: str) -> Element:
    """A smooth line through points, vertical at each of them."""
    (x, y), *rest = points
    path = [f"M{x:.1f},{y:.1f}"]
    for to_x, to_y in rest:
        middle = (y + to_y) / 2
        path.append(
            f"V{to_y:.1f}" if abs(to_x - x) < 0.05 else f"C{x:.1f},{middle:.1f} {to_x:.1f},{middle:.1f} {to_x:.1f},{to_y:.1f}"
        )
        x, y = to_x, to_y
    return element("path", d="".join(path), class_=kind)


def tip(x: float, y: float, direction: Point, kind: str = "tip") -> Element:
    """The head of an arrow that ends at a point."""
    dx, dy = direction
    left, right = (x - 8 * dx - 4 * dy, y - 8 * dy + 4 * dx), (x - 8 * dx + 4 * dy, y - 8 * dy - 4 * dx)
    return element("path", d=f"M{x:.1f},{y:.1f}L{left[0]:.1f},{left[1]:.1f}L{right[0]:.1f},{right[1]:.1f}Z", class_=kind)


def inline(drawing: Drawing, prefix: str) -> Element:
    """A drawing as an element of an HTML page, which has the rules of `style.py`. `prefix` tells its ids from others."""
    return _root([drawing], prefix, headings=False)


def document(drawings: Sequence[Drawing]) -> str:
    """Drawings, one below the other, as an SVG file that needs nothing else."""
    root = _root(drawings, "drawing", headings=True)
    root.set("xmlns", "http://www.w3.org/2000/svg")
    style = Element("style")
    style.text = colours() + drawing_rules()
    root.insert(2, style)
    return _serialized(root) + "\n"


def _root(drawings: Sequence[Drawing], prefix: str, *, headings: bool) -> Element:
    above = HEADING_HEIGHT if headings else 0.0
    width = max(max(drawing.size.width, len(drawing.title) * 9.5 if headings else 0) for drawing in drawings) + 2 * MARGIN
    height = sum(drawing.size.height + above + MARGIN for drawing in drawings) + MARGIN
    root = element(
        "svg",
        viewBox=f"0 0 {width:.1f} {height:.1f}",
        width=width,
        height=height,
        class_="drawing",
        role="img",
        aria_labelledby=f"{prefix}-title {prefix}-description",
    )
    root.append(element("title", "; ".join(drawing.title for drawing in drawings), id=f"{prefix}-title"))
    root.append(element("desc", " ".join(drawing.description for drawing in drawings), id=f"{prefix}-description"))
    root.append(element("rect", x=0, y=0, width=width, height=height, class_="sheet"))
    y = MARGIN
    for drawing in drawings:
        if headings:
            root.append(text(MARGIN, y + 18, drawing.title, "heading", "start"))
        place = element("g", transform=f"translate({(width - drawing.size.width) / 2:.1f} {y + above:.1f})")
        place.append(drawing.body)
        root.append(place)
        y += drawing.size.height + above + MARGIN
    return root


def _serialized(root: Element) -> str:
    return ElementTree.tostring(root, encoding="unicode")


def _written(value: object) -> str:
    return clean(value) if isinstance(value, str) else f"{value:.1f}"
