"""What drawings say of a graph, in SVG and in Mermaid, and that no text breaks out of them."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from protos import fractos_pb2
from Services.datacenter.drawing import mermaid, svg
from Services.datacenter.drawing.command import draw
from Services.datacenter.drawing.graph_drawing import draw_graph
from Services.datacenter.drawing.picture import Picture, picture_of, together
from Services.datacenter.drawing.sequence import Message, Sequence, Work, planned
from Services.datacenter.drawing.sequence_drawing import draw_sequence
from Services.fractos import TaskGraph
from Services.fractos.graph import default_catalogue

EVIL = "</text></svg><script>alert(1)</script>\"']]>&\x00\x1b[31m --> end; #\n%%{init}%% 日本"
SVG = "{http://www.w3.org/2000/svg}"


def picture(graph: TaskGraph) -> Picture:
    return picture_of(fractos_pb2.Graph.FromString(graph.serialized()))


def joined() -> TaskGraph:
    """Two branches that meet, an order, a pin, an output that is asked for."""
    graph = TaskGraph("join")
    number = graph.storage.read_integer(client_id="admin", name="number.txt")
    first = graph.math.shift_left(value=number.value, bits=0)
    second = graph.node("math-1").factorial(n=2**200)
    both = graph.output(graph.math.binomial_expansion(a=first.value, b=second.value, n=2))
    graph.storage.write_integer(client_id="admin", name="out.txt", value=both.value, after=number)
    return graph


def sequence(graph: TaskGraph, topology: str) -> Sequence:
    return planned(picture(graph), topology, default_catalogue())


def arrows(shown: Sequence, kind: str) -> list[tuple[str, str, str]]:
    return [(one.source, one.target, one.text) for one in shown.events if isinstance(one, Message) and one.kind == kind]


def test_a_picture_has_what_was_said() -> None:
    drawn = picture(joined())
    assert [(step.name, step.place, step.output) for step in drawn.steps] == [
        ("read_integer", "storage", False),
        ("shift_left", "math", False),
        ("factorial", "math-1", False),
        ("binomial_expansion", "math", True),
        ("write_integer", "storage", False),
    ]
    assert drawn.steps[0].arguments == (("client_id", "'admin'"), ("name", "'number.txt'"))
    assert drawn.steps[1].arguments == (("bits", "0"),)
    assert drawn.steps[2].arguments == (("n", "201 bits"),)
    said = {(edge.source, edge.target): edge.labels for edge in drawn.edges}
    assert said == {(0, 1): ("value",), (1, 3): ("value → a",), (2, 3): ("value → b",), (3, 4): ("value",), (0, 4): ()}


def test_constant_arguments_are_short() -> None:
    graph = TaskGraph("short")
    graph.storage.write_bytes(client_id="admin", name="n" * 100, data=bytes(12345))
    arguments = dict(picture(graph).steps[0].arguments)
    assert arguments["data"] == "12,345 bytes"
    assert len(arguments["name"]) == 28
    assert picture_of(fractos_pb2.Graph.FromString(graph.serialized()), values=False).steps[0].arguments == ()


def test_arguments_that_differ_between_graphs_drawn_together_are_not_shown_as_common() -> None:
    def named(name: str, text: str) -> Picture:
        graph = TaskGraph("note")
        graph.storage.write_text(client_id="admin", name=name, text=text)
        return picture(graph)

    shown = together([named("a.txt", "the same"), named("b.txt", "the same")])
    assert shown.name == "note (2 times)"
    assert dict(shown.steps[0].arguments) == {"client_id": "'admin'", "name": "…", "text": "'the same'"}
    assert together([named("a.txt", "")]) == named("a.txt", "")


@pytest.mark.parametrize("topology", [None, "ring", "star"])
def test_an_svg_is_whole_and_says_what_it_shows(topology: str | None) -> None:
    root = ElementTree.fromstring(draw([picture(joined()), picture(joined())], "svg", topology))
    assert root.tag == f"{SVG}svg"
    named = [root.find(f"{SVG}{name}") for name in ("title", "desc")]
    assert root.get("aria-labelledby") == " ".join(str(one.get("id")) for one in named if one is not None)
    assert root.get("role") == "img"
    style = root.find(f"{SVG}style")
    assert style is not None
    assert style.text is not None
    assert "prefers-color-scheme:dark" in style.text
    texts = {element.text for element in root.iter(f"{SVG}text")}
    assert {"binomial_expansion", "math-1" if topology else "only math-1"} <= texts


def test_a_drawing_shows_fields_orders_pins_and_outputs() -> None:
    body = draw_graph(picture(joined())).body
    texts = [element.text for element in body.iter("text")]
    assert texts.count("value") == 2
    assert {"value → a", "value → b", "n = 201 bits", "→ to the program"} <= set(texts)
    assert len([path for path in body.iter("path") if path.get("class") == "edge order"]) == 1
    pinned = [group for group in body.iter("g") if len(group.findall("rect")) == 2]
    assert [group.findtext("title") for group in pinned] == ["step 2: math.factorial, only math-1: n = 201 bits"]


def test_no_text_breaks_out_of_an_svg() -> None:
    graph = TaskGraph(EVIL)
    graph.storage.read_text(client_id="admin", name=EVIL)
    for topology in (None, "fast-star"):
        drawn = draw([picture(graph)], "svg", topology)
        root = ElementTree.fromstring(drawn)
        assert {element.tag.removeprefix(SVG) for element in root.iter()}.isdisjoint({"script", "a", "image", "foreignObject"})
        assert "<script" not in drawn
        assert "\x00" not in drawn


def test_no_text_breaks_out_of_a_mermaid() -> None:
    graph = TaskGraph(EVIL)
    graph.storage.write_text(client_id="admin", name="x", text=graph.storage.read_text(client_id="admin", name=EVIL).text)
    chart = mermaid.flowchart([picture(graph), picture(graph)])
    for label in re.findall(r'\["(.*?)"\]', chart):
        assert not re.search(r'["`\[\]{}|;&<>\\]', re.sub(r"#\d+;|</?b>|<br>", "", label))
    assert chart.count("\n") == len(chart.splitlines()) == 2 * 6 + 1
    lines = mermaid.sequence_diagram([sequence(graph, "star")]).splitlines()
    assert all(re.fullmatch(r"  (actor|participant|Note over|p\d(--?>>)p\d).*", line) for line in lines[1:])


def test_a_flowchart_says_it_all() -> None:
    assert mermaid.flowchart([picture(joined())]) == (
        '---\ntitle: "join"\n---\n'
        "flowchart TD\n"
        "  g0s0[\"<b>read_integer</b><br>storage<br>client_id = 'admin'<br>name = 'number.txt'\"]\n"
        '  g0s1["<b>shift_left</b><br>math<br>bits = 0"]\n'
        '  g0s2["<b>factorial</b><br>only math-1<br>n = 201 bits"]\n'
        '  g0s3["<b>binomial_expansion</b><br>math<br>n = 2<br>→ to the program"]\n'
        "  g0s4[\"<b>write_integer</b><br>storage<br>client_id = 'admin'<br>name = 'out.txt'\"]\n"
        '  g0s0 -- "value" --> g0s1\n'
        "  g0s0 -.-> g0s4\n"
        '  g0s1 -- "value → a" --> g0s3\n'
        '  g0s2 -- "value → b" --> g0s3\n'
        '  g0s3 -- "value" --> g0s4\n'
    )


@pytest.mark.parametrize(("topology", "hops"), [("ring", 5), ("fast-star", 8), ("star", 8)])
def test_a_chain_takes_the_hops_that_the_rule_says(topology: str, hops: int) -> None:
    """docs/topologies.md: n + 1 in a ring, 2n in a star; here n is 4."""
    graph = TaskGraph("chain")
    value = graph.storage.read_integer(client_id="admin", name="x").value
    for number in (0, 1):
        value = graph.node(f"math-{number}").shift_left(value=value, bits=1).value
    graph.node("storage-1").write_integer(client_id="admin", name="y", value=value)
    shown = sequence(graph, topology)
    assert shown.hops == hops
    assert shown.title == f"chain as a {topology}: {hops} hops"
    assert [(work.place, work.text) for work in shown.events if isinstance(work, Work)] == [
        ("storage", "read_integer"),
        ("math-0", "shift_left"),
        ("math-1", "shift_left"),
        ("storage-1", "write_integer"),
    ]


def test_a_ring_goes_from_device_to_device() -> None:
    assert arrows(sequence(joined(), "ring"), "request") == [
        ("application", "storage", "read_integer"),
        ("application", "math-1", "factorial"),
        ("storage", "math", "shift_left(value)"),
        ("math-1", "math", "binomial_expansion(b)"),
        ("math", "storage", "write_integer(value)"),
    ]
    assert arrows(sequence(joined(), "ring"), "completion") == [
        ("math", "application", "done, with the response"),
        ("storage", "application", "done"),
    ]


def test_the_centre_of_a_star_waits_for_all_of_a_join() -> None:
    shown = sequence(joined(), "star")
    assert arrows(shown, "request")[:2] == [("application", "storage", "read_integer"), ("application", "math-1", "factorial")]
    assert arrows(shown, "request")[3:] == [
        ("application", "math", "binomial_expansion(a, b)"),
        ("application", "storage", "write_integer(value)"),
    ]
    assert arrows(shown, "memory") == []
    assert ("math", "application", "value") in arrows(shown, "reply")


def test_a_fast_star_leaves_values_where_they_are_made() -> None:
    shown = sequence(joined(), "fast-star")
    assert arrows(shown, "memory") == [
        ("storage", "math", "value"),
        ("math-1", "math", "b"),  # `a` is there already
        ("math", "storage", "value"),
    ]
    assert ("application", "math", "binomial_expansion") in arrows(shown, "request")


def test_a_sequence_has_room_for_its_texts() -> None:
    drawing = draw_sequence(sequence(joined(), "star"))
    longest = max((element for element in drawing.body.iter("text")), key=lambda element: len(element.text or ""))
    assert longest.text == "binomial_expansion(a, b)"
    svg.document([drawing])
