"""The same drawings as text in the language of Mermaid, which many forges, wikis and editors show. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence

from Services.datacenter.drawing import sequence
from Services.datacenter.drawing.picture import DrawnEdge, DrawnStep, Picture
from Services.datacenter.drawing.sequence import Message, Work
from Services.datacenter.drawing.text import clean

ARGUMENTS = 4  # lines of arguments in a box
_SPECIAL = re.compile(r"[^\w .,:()=+…→×'/-]")


def escape(text: str) -> str:
    """A text as Mermaid shows it and never reads it: what could be syntax, or HTML, is written by its number."""
    return _SPECIAL.sub(lambda found: f"#{ord(found[0])};", clean(text))


def flowchart(pictures: Sequence[Picture]) -> str:
    """Graphs, each in a frame of its own if there are several."""
    lines = ["flowchart TD"]
    for number, picture in enumerate(pictures):
        inner = [*_steps(picture, number), *_edges(picture, number)]
        framed = [f'subgraph g{number}["{escape(picture.name)}"]', "  direction TB", *(f"  {line}" for line in inner), "end"]
        lines += [f"  {line}" for line in (framed if len(pictures) > 1 else inner)]
    # The title is YAML, and is shown as it is.
    title = [] if len(pictures) != 1 else ["---", f"title: {json.dumps(clean(pictures[0].name), ensure_ascii=False)}", "---"]
    return "\n".join([*title, *lines]) + "\n"


def sequence_diagram(sequences: Sequence[sequence.Sequence]) -> str:
    """Sequences of messages, one after the other."""
    lines = ["sequenceDiagram"]
    lifelines = list(dict.fromkeys(one for shown in sequences for one in shown.lifelines))
    ids = {lifeline.name: f"p{number}" for number, lifeline in enumerate(lifelines)}
    for lifeline in lifelines:
        word = "actor" if lifeline.kind == sequence.PROGRAM else "participant"
        lines.append(f"  {word} {ids[lifeline.name]} as {escape(lifeline.name)}")
    for shown in sequences:
        lines.append(f"  Note over {ids[lifelines[0].name]},{ids[lifelines[-1].name]}: {escape(shown.title)}")
        lines += [f"  {line}" for line in _events(shown, ids)]
    return "\n".join(lines) + "\n"


def _steps(picture: Picture, number: int) -> Iterator[str]:
    for step in picture.steps:
        yield f'g{number}s{step.id}["{"<br>".join(_box(step))}"]'


def _box(step: DrawnStep) -> Iterator[str]:
    yield f"<b>{escape(step.name)}</b>"
    yield f"only {escape(step.node)}" if step.node else escape(step.node_type)
    said = [escape(f"{name} = {value}") for name, value in step.arguments]
    yield from said if len(said) <= ARGUMENTS else [*said[: ARGUMENTS - 1], f"… {len(said) - ARGUMENTS + 1} more"]
    if step.output:
        yield "→ to the program"


def _edges(picture: Picture, number: int) -> Iterator[str]:
    for edge in picture.edges:
        yield f"g{number}s{edge.source} {_arrow(edge)} g{number}s{edge.target}"


def _arrow(edge: DrawnEdge) -> str:
    return "-.->" if edge.is_order_only else f'-- "{"<br>".join(map(escape, edge.labels))}" -->'


def _events(shown: sequence.Sequence, ids: dict[str, str]) -> Iterable[str]:
    names = [lifeline.name for lifeline in shown.lifelines]
    for event in shown.events:
        if isinstance(event, Message):
            arrow = "-->>" if event.kind in {"reply", "completion", "result"} else "->>"
            fetch = "fetch: " if event.is_data else ""
            yield f"{ids[event.source]}{arrow}{ids[event.target]}: {fetch}{escape(event.text) or event.kind}"
        elif isinstance(event, Work):
            yield f"Note over {ids[event.place]}: {escape(event.text)}"
        else:
            yield f"Note over {ids[names[0]]},{ids[names[-1]]}: {escape(event.text)}"
