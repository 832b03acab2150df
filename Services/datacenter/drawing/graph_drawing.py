"""The drawing of a graph: boxes in layers, arrows with the fields that they carry. Pure."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from Services.datacenter.drawing.layout import Arrow, Point, Route, Size, lay_out
from Services.datacenter.drawing.picture import DrawnEdge, DrawnStep, Picture
from Services.datacenter.drawing.style import kind_of
from Services.datacenter.drawing.svg import Drawing, curve, element, group, text, tip
from Services.datacenter.drawing.text import shorten, width_of

NAME, MONO = 13, 11  # sizes of fonts in pixels, as in style.py
LINE = 15.0  # pixels from line to line
LINES = 4  # of arguments; the rest are in the tip
LONGEST = 34  # characters of a line


def draw_graph(picture: Picture) -> Drawing:
    """Draw a graph. Raises ResourceExhaustedError if it has too many edges."""
    number = {step.id: index for index, step in enumerate(picture.steps)}
    lines = [_lines(step) for step in picture.steps]
    boxes = [_box_size(step, said) for step, said in zip(picture.steps, lines, strict=True)]
    arrows = [Arrow(number[edge.source], number[edge.target], _label_size(edge)) for edge in picture.edges]
    layout = lay_out(boxes, arrows)
    body = element("g")
    body.extend(_arrow(edge, route) for edge, route in zip(picture.edges, layout.routes, strict=True))
    body.extend(
        _box(step, said, size, middle)
        for step, said, size, middle in zip(picture.steps, lines, boxes, layout.boxes, strict=True)
    )
    return Drawing(picture.name, picture.summary, layout.size, body)


def _lines(step: DrawnStep) -> list[str]:
    said = [shorten(line, LONGEST) for line in (*(f"{name} = {value}" for name, value in step.arguments), *step.facts)]
    return said if len(said) <= LINES else [*said[: LINES - 1], f"… {len(said) - LINES + 1} more"]


def _place(step: DrawnStep) -> str:
    return step.ran_on or (f"only {step.node}" if step.node else step.node_type)


def _box_size(step: DrawnStep, lines: list[str]) -> Size:
    widths = [width_of(step.name, NAME + 0.5), width_of(_place(step), MONO), *(width_of(line, MONO) for line in lines)]
    return Size(max(112.0, max(widths) + 26), 44 + LINE * len(lines) + (LINE if step.output else 0) + (5 if lines else 0))


def _box(step: DrawnStep, lines: list[str], size: Size, middle: Point) -> Element:
    x, y = middle[0] - size.width / 2, middle[1] - size.height / 2
    said = "; ".join((*(f"{name} = {value}" for name, value in step.arguments), *step.facts))
    made = group(
        f"{kind_of(step.node_type)} {step.mark}".rstrip(),
        tip=f"step {step.id}: {step.operation}, {_place(step)}{f': {said}' if said else ''}",
    )
    made.append(element("rect", x=x, y=y, width=size.width, height=size.height, rx=8, class_="box"))
    if step.node:  # pinned: a double border
        made.append(element("rect", x=x + 3, y=y + 3, width=size.width - 6, height=size.height - 6, rx=6, class_="box"))
    made.append(text(middle[0], y + 19, step.name, "name"))
    made.append(text(middle[0], y + 34, _place(step), "small dim"))
    line_y = y + 54
    for line in lines:
        made.append(text(x + 13, line_y, line, "mono", "start"))
        line_y += LINE
    if step.output:
        made.append(text(middle[0], line_y - (0 if lines else 5), "→ to the program", "small dim"))
    return made


def _label_size(edge: DrawnEdge) -> Size:
    return Size(max((width_of(label, MONO) for label in edge.labels), default=0.0) + 8, LINE * max(1, len(edge.labels)) + 4)


def _arrow(edge: DrawnEdge, route: Route) -> Element:
    what = ", ".join(edge.labels) or "only the order"
    made = group(
        f"arrow {edge.mark}".rstrip(),
        curve(route.points, "edge order" if edge.is_order_only else "edge"),
        tip=f"{edge.source} → {edge.target}: {what}",
    )
    made.append(tip(*route.points[-1], (0, 1)))
    x, y = route.label
    top = y - LINE * (len(edge.labels) - 1) / 2 + 4
    made.extend(text(x, top + LINE * index, label, "mono halo") for index, label in enumerate(edge.labels))
    return made
