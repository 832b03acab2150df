"""Where the boxes and arrows of a graph go: in layers from top to bottom, with few crossings and short ways. Pure.

The method is that of Sugiyama, Tagawa and Toda (1981): layers by the longest way from a start; an arrow over several layers is
a chain of points, one in each; the order within a layer by the barycentre of the neighbours. Then each layer is moved to where
its neighbours are, as near as the distances allow: that is an isotonic regression, which pooling adjacent violators solves.

The libraries for this were not taken: grandalf is under the GPL and has not changed for years, fast-sugiyama needs a newer
Python than this project, Graphviz a program beside it.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from Services.fractos.errors import ResourceExhaustedError

GAP_X = 28.0  # pixels between neighbours in a layer
GAP_Y = 15.0  # and between a layer and the next; labels have layers of their own
MAX_POINTS = 20_000  # of all arrows; that takes some seconds
ORDER_SWEEPS = 12
PLACE_SWEEPS = 8
CHAIN_WEIGHT = 30.0
STRAIGHTENING_SWEEPS = 60  # in which each arrow is one wish, to be vertical
Point = tuple[float, float]


@dataclass(frozen=True)
class Size:
    """Of a box or a label, in pixels."""

    width: float
    height: float


@dataclass(frozen=True)
class Arrow:
    """From one box to a later one, by their numbers, with room for a label."""

    source: int
    target: int
    label: Size = Size(0, 0)


@dataclass(frozen=True)
class Route:
    """The way of an arrow, from border to border. It is vertical at every point."""

    points: tuple[Point, ...]
    label: Point  # the middle of its label


@dataclass(frozen=True)
class Layout:
    """The middle of every box, and the way of every arrow."""

    boxes: tuple[Point, ...]
    routes: tuple[Route, ...]
    size: Size


def lay_out(boxes: Sequence[Size], arrows: Sequence[Arrow]) -> Layout:
    """Place a graph. Arrows lead from lower numbers of boxes to higher ones.

    Raises ResourceExhaustedError if it has too many long arrows to be drawn.
    """
    grid = _Grid(boxes, arrows)
    grid.order()
    grid.place()
    return grid.layout()


@dataclass
class _Vertex:
    """A box, or a point that an arrow passes."""

    layer: int
    size: Size
    above: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)
    is_box: bool = False
    x: float = 0.0
    rank: int = 0  # its number within its layer


class _Grid:
    """Boxes are in layers of even number, labels in those between."""

    def __init__(self, boxes: Sequence[Size], arrows: Sequence[Arrow]) -> None:
        self._boxes, self._arrows = boxes, arrows
        layer_of = _layers(len(boxes), arrows)
        points = sum(layer_of[arrow.target] - layer_of[arrow.source] for arrow in arrows)
        if points > MAX_POINTS:
            raise ResourceExhaustedError(
                f"the graph's {len(arrows)} edges are too many or too long to be laid out here; --format mermaid leaves that to"
                " who shows it"
            )
        self._vertices = [_Vertex(layer, size, is_box=True) for layer, size in zip(layer_of, boxes, strict=True)]
        self._chains = [self._chain(arrow) for arrow in arrows]
        self._chain_of = {number: chain for chain in self._chains for number in chain[1:-1]}
        self._layers: list[list[int]] = [[] for _ in range(max(layer_of, default=0) + 1)]
        for number, vertex in enumerate(self._vertices):
            self._layers[vertex.layer].append(number)
        self._number_ranks()

    def _chain(self, arrow: Arrow) -> list[int]:
        """The vertices of an arrow: its boxes, and a point in each layer between them. The last of these is its label."""
        chain = [arrow.source]
        top, bottom = self._vertices[arrow.source].layer, self._vertices[arrow.target].layer
        for layer in range(top + 1, bottom):
            chain.append(len(self._vertices))
            self._vertices.append(_Vertex(layer, arrow.label if layer == bottom - 1 else Size(0, 0)))
        chain.append(arrow.target)
        for one, other in pairwise(chain):
            self._vertices[one].below.append(other)
            self._vertices[other].above.append(one)
        return chain

    def order(self) -> None:
        """Find an order within the layers that has few crossings."""
        best, fewest = [list(layer) for layer in self._layers], self._crossings()
        for sweep in range(ORDER_SWEEPS):
            if not fewest:
                break
            for layer in self._layers if sweep % 2 == 0 else reversed(self._layers):
                layer.sort(key=lambda number, down=sweep % 2 == 0: self._barycentre(number, down=down))  # type: ignore[misc]
                self._number(layer)
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = [list(layer) for layer in self._layers], crossings
        self._layers = best
        self._number_ranks()

    def _barycentre(self, number: int, *, down: bool) -> float:
        vertex = self._vertices[number]
        others = vertex.above if down else vertex.below
        return sum(self._vertices[one].rank for one in others) / len(others) if others else vertex.rank

    def _crossings(self) -> int:
        """How often arrows cross: pairs whose upper ends are in one order and whose lower ends are in the other."""
        count = 0
        for layer in self._layers:
            seen: list[int] = []
            for number in layer:
                ends = [self._vertices[below].rank for below in self._vertices[number].below]
                count += sum(len(seen) - bisect_right(seen, end) for end in ends)
                for end in ends:
                    insort(seen, end)
        return count

    def _number_ranks(self) -> None:
        for layer in self._layers:
            self._number(layer)

    def _number(self, layer: Sequence[int]) -> None:
        for rank, number in enumerate(layer):
            self._vertices[number].rank = rank

    def place(self) -> None:
        """Move every vertex to where its neighbours are, as near as the others of its layer leave room."""
        for layer in self._layers:
            for number, offset in zip(layer, self._offsets(layer), strict=True):
                self._vertices[number].x = offset
        for sweep in range(PLACE_SWEEPS):
            down = sweep % 2 == 0
            for layer in self._layers if down else reversed(self._layers):
                self._settle(layer, [self._wish(number, down=down) for number in layer])
        for _ in range(STRAIGHTENING_SWEEPS):
            middles = [self._mean(chain) for chain in self._chains]
            wishes = {number: (x, 8.0) for chain, x in zip(self._chains, middles, strict=True) for number in chain[1:-1]}
            for layer in self._layers:
                self._settle(layer, [wishes.get(number) or self._balanced(number) for number in layer])

    def _wish(self, number: int, *, down: bool) -> tuple[float, float]:
        """Where a vertex would be for the sake of its neighbours on one side, and how much that counts."""
        vertex = self._vertices[number]
        others = vertex.above if down else vertex.below
        return (self._mean(others), 1.0) if others else (vertex.x, 0.1)

    def _balanced(self, number: int) -> tuple[float, float]:
        """Where a box would be for the sake of all its arrows. Those to and from its only neighbour count most: chains are
        straight.
        """
        vertex = self._vertices[number]
        pulls = [(one, CHAIN_WEIGHT if self._is_only(one) else 1.0) for one in (*vertex.above, *vertex.below)]
        total = sum(weight for _, weight in pulls)
        return (sum(self._vertices[one].x * weight for one, weight in pulls) / total, 1.0) if pulls else (vertex.x, 0.1)

    def _is_only(self, point: int) -> bool:
        """Whether the arrow through a point is the only one that its source sends and its target gets."""
        chain = self._chain_of[point]
        return len(self._vertices[chain[0]].below) == len(self._vertices[chain[-1]].above) == 1

    def _mean(self, numbers: Sequence[int]) -> float:
        return sum(self._vertices[number].x for number in numbers) / len(numbers)

    def _settle(self, layer: Sequence[int], wishes: Sequence[tuple[float, float]]) -> None:
        offsets = self._offsets(layer)
        ascending = isotonic([(wish - offset, weight) for (wish, weight), offset in zip(wishes, offsets, strict=True)])
        for number, place, offset in zip(layer, ascending, offsets, strict=True):
            self._vertices[number].x = place + offset

    def _offsets(self, layer: Sequence[int]) -> list[float]:
        """The least distance of each vertex from the first one."""
        offsets = [0.0] * len(layer)
        for index, (one, other) in enumerate(pairwise(layer)):
            apart = (self._vertices[one].size.width + self._vertices[other].size.width) / 2 + GAP_X
            offsets[index + 1] = offsets[index] + apart
        return offsets

    def layout(self) -> Layout:
        """What was found, in pixels from the upper left corner."""
        left = min((vertex.x - vertex.size.width / 2 for vertex in self._vertices), default=0.0)
        right = max((vertex.x + vertex.size.width / 2 for vertex in self._vertices), default=0.0)
        for vertex in self._vertices:
            vertex.x -= left
        heights = [max((self._vertices[number].size.height for number in layer), default=0.0) for layer in self._layers]
        tops = [sum(heights[:index]) + GAP_Y * index for index in range(len(heights))]
        middles = [top + height / 2 for top, height in zip(tops, heights, strict=True)]
        boxes = tuple((self._vertices[number].x, middles[self._vertices[number].layer]) for number in range(len(self._boxes)))
        routes = tuple(self._route(chain, tops, heights, middles) for chain in self._chains)
        return Layout(boxes, routes, Size(right - left, tops[-1] + heights[-1] if heights else 0.0))

    def _route(self, chain: Sequence[int], tops: Sequence[float], heights: Sequence[float], middles: Sequence[float]) -> Route:
        first, *between, last = (self._vertices[number] for number in chain)
        points = [(first.x, middles[first.layer] + first.size.height / 2)]
        for vertex in between:
            points += [(vertex.x, tops[vertex.layer]), (vertex.x, tops[vertex.layer] + heights[vertex.layer])]
        points.append((last.x, middles[last.layer] - last.size.height / 2))
        label = between[-1]
        return Route(tuple(points), (label.x, middles[label.layer]))


def _layers(count: int, arrows: Sequence[Arrow]) -> list[int]:
    """Twice the length of the longest way to each box."""
    layers = [0] * count
    for arrow in sorted(arrows, key=lambda one: one.source):
        layers[arrow.target] = max(layers[arrow.target], layers[arrow.source] + 2)
    return layers


def isotonic(wishes: Sequence[tuple[float, float]]) -> list[float]:
    """The ascending numbers nearest to weighted wishes by least squares: adjacent violators are pooled (Ayer et al., 1955)."""
    pools: list[tuple[float, float, int]] = []  # mean, weight, how many
    for wish, weight in wishes:
        mean, total, count = wish, weight, 1
        while pools and pools[-1][0] > mean:
            other, other_weight, other_count = pools.pop()
            mean = (mean * total + other * other_weight) / (total + other_weight)
            total, count = total + other_weight, count + other_count
        pools.append((mean, total, count))
    return [mean for mean, _, count in pools for _ in range(count)]
