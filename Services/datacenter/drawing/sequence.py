"""How a graph travels, message by message: as it is planned, or as a run did it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from Services.datacenter.drawing.picture import DrawnEdge, DrawnStep, Picture
from Services.fractos.operations import Catalogue
from Services.fractos.topology import FAST_STAR, RING

Kind: TypeAlias = Literal["submit", "request", "reply", "completion", "memory", "result"]
PROGRAM, HOME = "program", "application"


@dataclass(frozen=True)
class Lifeline:
    """One that sends and receives."""

    name: str
    kind: str  # a type of node, or HOME, or PROGRAM


@dataclass(frozen=True)
class Message:
    """From one lifeline to another."""

    source: str
    target: str
    kind: Kind
    text: str = ""
    detail: str = ""
    at: str = ""  # when, if that is known

    @property
    def is_data(self) -> bool:
        """Whether it is a value that the receiver fetches; everything else is control, and the values that go with it."""
        return self.kind == "memory"


@dataclass(frozen=True)
class Work:
    """A step on its device."""

    place: str
    text: str
    detail: str = ""
    at: str = ""
    failed: bool = False


@dataclass(frozen=True)
class Remark:
    """Something that concerns everyone, such as a new attempt."""

    text: str
    bad: bool = False


Event: TypeAlias = "Message | Work | Remark"


@dataclass(frozen=True)
class Sequence:
    """What happens, from top to bottom."""

    title: str
    lifelines: tuple[Lifeline, ...]
    events: tuple[Event, ...]

    @property
    def hops(self) -> int:
        """The messages between nodes that a run waits for."""
        return sum(isinstance(one, Message) and one.kind in {"request", "reply", "completion"} for one in self.events)

    @property
    def summary(self) -> str:
        """The sequence in sentences, for those who do not see it."""
        said = []
        for event in self.events[:60]:
            if isinstance(event, Message):
                said.append(f"{event.source} to {event.target}: {event.kind}{f', {event.text}' if event.text else ''}.")
            elif isinstance(event, Work):
                said.append(f"{event.place} does {event.text}.")
            else:
                said.append(f"{event.text}.")
        return " ".join(said) + (" And more." if len(self.events) > 60 else "")


def planned(picture: Picture, topology: str, catalogue: Catalogue) -> Sequence:
    """What a graph's messages will be if steps of one type that name no node all go to the same one."""
    plan = _Plan(picture, catalogue)
    events = plan.ring() if topology == RING else plan.star(leave=topology == FAST_STAR)
    places = dict.fromkeys(step.place for step in picture.steps)
    types = {step.place: step.node_type for step in picture.steps}
    lifelines = [Lifeline(PROGRAM, PROGRAM), Lifeline(HOME, HOME), *(Lifeline(place, types[place]) for place in places)]
    made = Sequence(picture.name, tuple(lifelines), tuple(events))
    hops = f"{made.hops} hop{'' if made.hops == 1 else 's'}"
    return Sequence(f"{picture.name} as a {topology}: {hops}", made.lifelines, made.events)


class _Plan:
    def __init__(self, picture: Picture, catalogue: Catalogue) -> None:
        self._picture, self._catalogue = picture, catalogue
        self._steps = {step.id: step for step in picture.steps}
        self._into: dict[int, list[DrawnEdge]] = {step.id: [] for step in picture.steps}
        self._from: dict[int, list[DrawnEdge]] = {step.id: [] for step in picture.steps}
        for edge in picture.edges:
            self._into[edge.target].append(edge)
            self._from[edge.source].append(edge)

    def ring(self) -> Iterator[Event]:
        """Every node sends the next steps on their way itself."""
        yield Message(PROGRAM, HOME, "submit", "the graph")
        for step in self._picture.steps:
            if not self._into[step.id]:
                yield Message(HOME, step.place, "request", step.name)
        for step in self._picture.steps:
            yield Work(step.place, step.name)
            for edge in self._from[step.id]:
                target = self._steps[edge.target]
                if target.place != step.place:
                    yield Message(step.place, target.place, "request", _request(target, _carried(edge)))
            if step.output or not self._from[step.id]:
                yield Message(step.place, HOME, "completion", _completion(step))
        yield Message(HOME, PROGRAM, "result")

    def star(self, *, leave: bool) -> Iterator[Event]:
        """Every step is sent alone by the application node, once all that it waits for is there. With `leave`, values stay
        where they were made.
        """
        yield Message(PROGRAM, HOME, "submit", "the graph")
        waits = {step.id: len(self._into[step.id]) for step in self._picture.steps}
        for step in self._picture.steps:
            if not waits[step.id]:
                yield self._sent(step, leave=leave)
        for step in self._picture.steps:
            for edge in self._into[step.id]:
                maker = self._steps[edge.source].place
                fetched = [field for field in edge.fields if leave and self._stays(edge, field)]
                if fetched and maker != step.place:
                    yield Message(maker, step.place, "memory", ", ".join(target for _, target in fetched))
            yield Work(step.place, step.name)
            yield self._answered(step, leave=leave)
            for edge in self._from[step.id]:
                waits[edge.target] -= 1
                if not waits[edge.target]:
                    yield self._sent(self._steps[edge.target], leave=leave)
        yield Message(HOME, PROGRAM, "result")

    def _sent(self, step: DrawnStep, *, leave: bool) -> Message:
        fields = [field for edge in self._into[step.id] for field in edge.fields if not (leave and self._stays(edge, field))]
        return Message(HOME, step.place, "request", _request(step, [target for _, target in fields]))

    def _answered(self, step: DrawnStep, *, leave: bool) -> Message:
        edges = self._from[step.id]
        if not edges:
            return Message(step.place, HOME, "completion", _completion(step))
        outputs = [field[0] for edge in edges for field in edge.fields if not (leave and self._stays(edge, field))]
        return Message(step.place, HOME, "reply", "the response" if step.output else ", ".join(dict.fromkeys(outputs)))

    def _stays(self, edge: DrawnEdge, field: tuple[str, str]) -> bool:
        """Whether a value can be Memory: integers of any size, arrays, bytes and texts can."""
        operation = self._catalogue.get(self._steps[edge.source].operation)
        return operation is not None and field[0] in {*operation.value_outputs, *operation.plain_outputs}


def _carried(edge: DrawnEdge) -> list[str]:
    return [target for _, target in edge.fields]


def _request(step: DrawnStep, fields: Iterable[str]) -> str:
    said = ", ".join(fields)
    return f"{step.name}({said})" if said else step.name


def _completion(step: DrawnStep) -> str:
    return "done, with the response" if step.output else "done"
