"""The drawing of a sequence of messages: a line of life for each node, an arrow for each message. Pure."""

from __future__ import annotations

from itertools import accumulate, pairwise
from xml.etree.ElementTree import Element

from Services.datacenter.drawing import sequence, style
from Services.datacenter.drawing.layout import Size
from Services.datacenter.drawing.sequence import Event, Lifeline, Message, Remark, Work
from Services.datacenter.drawing.svg import Drawing, element, group, text, tip
from Services.datacenter.drawing.text import shorten, width_of

HEAD = 30.0  # pixels, the height of the boxes at the top
ROW = {Message: 34.0, Work: 32.0, Remark: 34.0}
SMALL = 11  # pixels, of the texts on arrows
NARROWEST, LONGEST = 108.0, 44  # pixels between two lines; characters on an arrow
REMARK_PX, WIDEST_REMARK = 6.2, 620.0  # pixels for a character of a remark; for which remarks the drawing becomes wider
LOOP = 44.0  # how far an arrow from a node to itself reaches


def draw_sequence(shown: sequence.Sequence) -> Drawing:
    """Draw a sequence of messages."""
    index = {lifeline.name: number for number, lifeline in enumerate(shown.lifelines)}
    times = max((width_of(event.at, SMALL) for event in shown.events if not isinstance(event, Remark)), default=0.0)
    gaps = _gaps(shown, index)
    half = _half(shown.lifelines)
    left = times + (12 if times else 0) + half[0]
    columns = {name: left + x for name, x in zip(index, accumulate(gaps, initial=0.0), strict=False)}
    width = columns[shown.lifelines[-1].name] + max(half[-1], _overhang(shown))
    height = HEAD + 20 + sum(ROW[type(event)] for event in shown.events)
    body = element("g")
    for lifeline in shown.lifelines:
        x = columns[lifeline.name]
        body.append(element("line", x1=x, y1=HEAD, x2=x, y2=height, class_="life"))
    y = HEAD + 8.0
    for event in shown.events:
        y += ROW[type(event)]
        body.append(_drawn(event, columns, y, width))
        if not isinstance(event, Remark) and event.at:
            body.append(text(times, y, event.at, "mono dim", "end"))
    body.extend(_head(lifeline, columns[lifeline.name]) for lifeline in shown.lifelines)
    return Drawing(shown.title, shown.summary, Size(width, height), body)


def _half(lifelines: tuple[Lifeline, ...]) -> list[float]:
    return [max(42.0, width_of(lifeline.name, 13.5) / 2 + 12) for lifeline in lifelines]


def _gaps(shown: sequence.Sequence, index: dict[str, int]) -> list[float]:
    """The distances between neighbours, such that names and texts fit."""
    half = _half(shown.lifelines)
    gaps = [max(NARROWEST, one + other + 14) for one, other in pairwise(half)]
    for event in shown.events:
        if isinstance(event, Message):
            low, high = sorted((index[event.source], index[event.target]))
            _widen(gaps, low, high, width_of(_said(event), SMALL) + 26)
        elif isinstance(event, Work):
            room = width_of(event.text, SMALL) / 2 + 24
            for side in range(max(0, index[event.place] - 1), min(len(gaps), index[event.place] + 1)):
                _widen(gaps, side, side + 1, room)
    widest = max((len(event.text) * REMARK_PX for event in shown.events if isinstance(event, Remark)), default=0.0)
    _widen(gaps, 0, len(gaps), min(widest, WIDEST_REMARK))
    return gaps


def _widen(gaps: list[float], low: int, high: int, needed: float) -> None:
    missing = needed - sum(gaps[low:high])
    for number in range(low, high):
        gaps[number] += max(0.0, missing) / (high - low)


def _overhang(shown: sequence.Sequence) -> float:
    """How far what is on the last line reaches beyond it."""
    last = shown.lifelines[-1].name
    widths = [width_of(event.text, SMALL) / 2 + 14 for event in shown.events if isinstance(event, Work) and event.place == last]
    loops = [
        LOOP + width_of(_said(event), SMALL)
        for event in shown.events
        if isinstance(event, Message) and event.source == event.target == last
    ]
    return max([*widths, *loops, 0.0])


def _said(message: Message) -> str:
    words = {"submit": "submit", "reply": "reply", "completion": "", "memory": "fetch", "result": "result", "request": ""}
    return shorten(": ".join(part for part in (words[message.kind], message.text) if part), LONGEST)


def _head(lifeline: Lifeline, x: float) -> Element:
    half = _half((lifeline,))[0]
    kind = {sequence.PROGRAM: style.CLIENT, sequence.HOME: style.HOME}.get(lifeline.kind) or style.kind_of(lifeline.kind)
    box = element("rect", x=x - half, y=0, width=2 * half, height=HEAD, rx=6, class_="box")
    return group(kind, box, text(x, 20, lifeline.name, "name"), tip=lifeline.name)


def _drawn(event: Event, columns: dict[str, float], y: float, width: float) -> Element:
    if isinstance(event, Message):
        return _loop(event, columns, y) if event.source == event.target else _message(event, columns, y)
    if isinstance(event, Work):
        return _work(event, columns[event.place], y)
    words = text(width / 2, y - 3, shorten(event.text, int(width / REMARK_PX)), f"small {'bad' if event.bad else 'dim'}")
    return group("remark", element("rect", x=0, y=y - 19, width=width, height=24, rx=4, class_="note"), words, tip=event.text)


def _message(message: Message, columns: dict[str, float], y: float) -> Element:
    start, end = columns[message.source], columns[message.target]
    direction = 1.0 if end > start else -1.0
    data = " data" if message.is_data else ""
    dashed = " order" if message.kind in {"reply", "completion", "result"} else ""
    line = element("line", x1=start, y1=y, x2=end - 6 * direction, y2=y, class_=f"edge{data}{dashed}")
    what = f"{message.source} → {message.target}, {message.kind}: {message.detail or message.text}"
    words = text((start + end) / 2, y - 6, _said(message), f"small halo{data}")
    return group("message", line, tip(end, y, (direction, 0), f"tip{data}"), words, tip=what)


def _loop(message: Message, columns: dict[str, float], y: float) -> Element:
    x, right = columns[message.source], columns[message.source] + LOOP / 2
    data = " data" if message.is_data else ""
    path = element("path", d=f"M{x:.1f},{y - 12:.1f}H{right:.1f}V{y:.1f}H{x + 6:.1f}", class_=f"edge{data}")
    words = text(right + 6, y - 3, _said(message), f"small halo{data}", "start")
    return group("message", path, tip(x, y, (-1, 0), f"tip{data}"), words, tip=message.detail or message.text)


def _work(work: Work, x: float, y: float) -> Element:
    half = max(30.0, width_of(work.text, SMALL) / 2 + 9)
    box = element("rect", x=x - half, y=y - 18, width=2 * half, height=23, rx=5, class_="box")
    kind = "bad" if work.failed else style.kind_of(work.place.rpartition("-")[0] or work.place)
    return group(kind, box, text(x, y - 2, work.text, "name small"), tip=work.detail or f"{work.place}: {work.text}")
