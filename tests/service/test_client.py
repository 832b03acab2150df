"""The Python client against real nodes: results, errors, large values, cancel, and nodes that die."""

from __future__ import annotations

import io
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
import psutil
import pytest
from PIL import Image

from Services.fractos import Datacenter, TaskGraph, connect
from Services.fractos.errors import (
    ConfigurationError,
    DeadlineExceededError,
    FractosError,
    GraphError,
    InvalidArgumentError,
    NotFoundError,
    OutOfRangeError,
    ResourceExhaustedError,
    RunCancelledError,
    UnavailableError,
)
from tests.nodes import Nodes, nodes, running, slow_graph

__all__ = ["nodes"]

CLIENT = "admin"


@pytest.fixture(scope="module")
def datacenter(nodes: Nodes) -> Iterator[Datacenter]:
    with connect(nodes.root) as connected:
        yield connected


def test_a_run_returns_plain_python_values_and_the_way_it_took(datacenter: Datacenter) -> None:
    graph = TaskGraph("values")
    number = graph.math.factorial(n=30)
    shifted = graph.node("math-1").shift_left(value=number.value, bits=3)
    graph.storage.write_integer(client_id=CLIENT, name="values/number.txt", value=shifted.value)
    back = graph.storage.list(client_id=CLIENT, prefix="values/", after=graph.steps[-1])
    result = datacenter.run(graph)
    assert result[number].value == 265252859812191058636308480000000
    assert result[shifted].value == 265252859812191058636308480000000 << 3
    assert result[back].names == ("values/number.txt",)
    assert [(hop.operation, hop.node) for hop in result.trail] == [
        ("math.factorial", "math-0"),
        ("math.shift_left", "math-1"),
        ("storage.write_integer", "storage-0"),
        ("storage.list", "storage-0"),
    ]
    for hop in result.trail:
        assert hop.sent_at <= hop.received_at <= hop.started_at <= hop.finished_at
        assert hop.request_bytes > 0
    with pytest.raises(AttributeError, match="it has value"):
        result[number].valve  # noqa: B018
    with pytest.raises(GraphError):
        result[slow_graph().steps[0]]


def test_fan_out_and_join_over_nodes(datacenter: Datacenter) -> None:
    graph = TaskGraph("diamond")
    top = graph.math.shift_left(value=1, bits=4)
    branches = [graph.node(f"math-{index}").shift_left(value=top.value, bits=index) for index in (0, 1)]
    total = graph.math.binomial_expansion(a=branches[0].value, b=branches[1].value, n=1)
    assert datacenter.run(graph)[total].value == 16 + 32


def test_pictures_travel_between_devices(datacenter: Datacenter) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (40, 20), (255, 0, 0)).save(picture, "PNG")
    graph = TaskGraph("picture")
    stored = graph.storage.write_bytes(client_id=CLIENT, name="red.png", data=picture.getvalue())
    read = graph.output(graph.storage.read_image(client_id=CLIENT, name="red.png", width=8, height=4, after=stored))
    image = datacenter.run(graph)[read].image
    assert image.shape == (4, 8, 3)
    assert image.dtype == numpy.uint8
    assert (image == (255, 0, 0)).all()


def test_a_large_output_stays_unless_it_is_asked_for(datacenter: Datacenter) -> None:
    data = bytes(range(256)) * (64 << 12)  # 64 MiB, the most that travels
    graph = TaskGraph("large")
    written = graph.storage.write_bytes(client_id=CLIENT, name="large.bin", data=data)
    read = graph.storage.read_bytes(client_id=CLIENT, name="large.bin", after=written)
    graph.storage.write_bytes(client_id=CLIENT, name="copy.bin", data=read.data)
    result = datacenter.run(graph)
    with pytest.raises(NotFoundError, match=r"graph\.output"):
        result[read]
    assert result.trail[1].response_bytes >= len(data)
    graph.output(read)
    assert datacenter.run(graph)[read].data == data


def test_values_beyond_the_limit_are_refused_by_name(datacenter: Datacenter, nodes: Nodes) -> None:
    graph = TaskGraph("too large")
    graph.storage.write_bytes(client_id=CLIENT, name="huge.bin", data=bytes(65 << 20))
    with pytest.raises(ResourceExhaustedError, match="64 MiB"):
        datacenter.run(graph)
    folder = nodes.root / "Services/storage" / CLIENT
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "huge.bin").write_bytes(bytes((64 << 20) + 1))
    graph = TaskGraph("too large to read")
    graph.storage.read_bytes(client_id=CLIENT, name="huge.bin")
    with pytest.raises(ResourceExhaustedError, match="the limit is 67,108,864"):
        datacenter.run(graph)


def test_a_failed_run_raises_one_error_that_says_everything(datacenter: Datacenter) -> None:
    graph = TaskGraph("fails")
    first = graph.math.shift_left(value=1, bits=1)
    graph.storage.read_text(client_id=CLIENT, name="no such file.txt", after=first)
    run = datacenter.submit(graph)
    with pytest.raises(NotFoundError) as caught:
        run.result()
    context = caught.value.context
    assert context.run_id == run.run_id
    assert (context.step, context.operation, context.node, context.attempt) == (1, "storage.read_text", "storage-0", 1)
    assert Path(context.log_file).name == "storage-0.log"
    assert "no such file.txt" in str(caught.value)
    assert [hop.operation for hop in run.trail] == ["math.shift_left"]


@pytest.mark.parametrize(
    ("submit", "kind", "says"),
    [
        (lambda d, g: d.run(g, topology="mesh"), InvalidArgumentError, "no topology 'mesh'"),
        (lambda d, g: d.run(g, timeout_s=-1), InvalidArgumentError, "timeout_s is -1"),
        (lambda d, g: d.run(g, timeout_s=-10), InvalidArgumentError, "timeout_s is -10"),
        (lambda d, g: d.run(g, timeout_s=0), InvalidArgumentError, "timeout_s is 0"),
        (lambda d, g: d.run(g, timeout_s=math.inf), InvalidArgumentError, "timeout_s is inf"),
        (lambda d, g: d.run(g, timeout_s=math.nan), InvalidArgumentError, "timeout_s is nan"),
        (lambda d, g: d.run(g, timeout_s=1e6), InvalidArgumentError, "at most 3600"),
        (lambda d, g: d.run(TaskGraph("empty")), GraphError, "has no steps"),
        (lambda d, g: d.run(out_of_range()), OutOfRangeError, "-5"),
        (lambda d, g: d.run(pinned_to_nobody()), UnavailableError, "no node math-77"),
    ],
)
def test_bad_runs_are_refused(
    datacenter: Datacenter, submit: Callable[[Datacenter, TaskGraph], object], kind: type[FractosError], says: str
) -> None:
    graph = TaskGraph("good")
    graph.math.factorial(n=3)
    with pytest.raises(kind) as caught:
        submit(datacenter, graph)
    assert says in caught.value.message


def out_of_range() -> TaskGraph:
    graph = TaskGraph("out of range")
    graph.math.factorial(n=-5)
    return graph


def pinned_to_nobody() -> TaskGraph:
    graph = TaskGraph("nobody")
    graph.node("math-77").factorial(n=3)
    return graph


def test_a_run_can_be_cancelled(datacenter: Datacenter) -> None:
    run = datacenter.submit(slow_graph())
    assert not run.done()
    run.cancel()
    with pytest.raises(RunCancelledError) as caught:
        run.result()
    assert caught.value.context.run_id == run.run_id


def test_a_run_ends_at_its_deadline(datacenter: Datacenter) -> None:
    with pytest.raises(DeadlineExceededError) as caught:
        datacenter.run(slow_graph(), timeout_s=0.3)
    assert not caught.value.definite


def test_runs_that_find_no_room_fail_unless_they_may_wait(datacenter: Datacenter) -> None:
    graph = TaskGraph("long")  # ten of them are all that is let in at once
    value: object = 1
    for _ in range(1000):
        value = graph.math.shift_left(value=value, bits=0).value
    last = graph.steps[-1]
    hasty = [datacenter.submit(graph) for _ in range(20)]
    patient = [datacenter.submit(graph, wait=True, timeout_s=120) for _ in range(20)]
    with pytest.raises(ResourceExhaustedError, match="the limit is 10000"):
        for run in hasty:
            run.result()
    for run in patient:
        assert run.result()[last].value == 1


def test_threads_share_a_connection(datacenter: Datacenter) -> None:
    answers: dict[int, int] = {}

    def work(number: int) -> None:
        graph = TaskGraph(f"thread {number}")
        step = graph.math.shift_left(value=number, bits=8)
        for _ in range(20):
            answers[number] = datacenter.run(graph)[step].value

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: number << 8 for number in range(8)}


def test_no_submission_is_forgotten_however_threads_are_switched(datacenter: Datacenter) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        graph = TaskGraph("quick")
        graph.math.shift_left(value=1, bits=1)
        with ThreadPoolExecutor(8) as threads:
            assert len(list(threads.map(lambda _: datacenter.run(graph, timeout_s=10), range(1000)))) == 1000
    finally:
        sys.setswitchinterval(interval)


def test_what_was_submitted_before_a_close_is_done(nodes: Nodes) -> None:
    with connect(nodes.root) as closing:
        for number in range(300):
            graph = TaskGraph(f"written {number}")
            graph.storage.write_integer(client_id=CLIENT, name=f"closing/{number}", value=number)
            closing.submit(graph)
    folder = nodes.root / "Services/storage" / CLIENT / "closing"
    deadline = time.monotonic() + 20
    while len(list(folder.glob("[0-9]*"))) < 300:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_connecting_again_and_again_is_silent(nodes: Nodes) -> None:
    program = (
        "from Services.fractos import TaskGraph, connect\n"
        "for number in range(10):\n"
        f"    with connect({str(nodes.root)!r}) as datacenter:\n"
        "        graph = TaskGraph('again')\n"
        "        step = graph.math.factorial(n=5)\n"
        "        assert datacenter.run(graph)[step].value == 120\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_outputs_that_are_too_large_together_fail_one_run_only(datacenter: Datacenter) -> None:
    graph = TaskGraph("too much together")
    written = graph.storage.write_bytes(client_id=CLIENT, name="50.bin", data=bytes(50 << 20))
    for _ in range(3):
        graph.output(graph.storage.read_bytes(client_id=CLIENT, name="50.bin", after=written))
    run = datacenter.submit(graph, timeout_s=60)
    small = TaskGraph("small")
    step = small.math.factorial(n=5)
    assert datacenter.run(small)[step].value == 120
    with pytest.raises(ResourceExhaustedError, match="outputs that were asked for"):
        run.result()
    assert datacenter.run(small)[step].value == 120


def test_connecting_to_nothing_says_what_to_do(tmp_path: Path, nodes: Nodes) -> None:
    with pytest.raises(ConfigurationError, match=r"data_center_setup\.cfg"):
        connect(tmp_path)
    (tmp_path / "data_center_setup.cfg").write_text((nodes.root / "data_center_setup.cfg").read_text())
    with pytest.raises(UnavailableError, match="was never started"):
        connect(tmp_path)


def test_a_closed_datacenter_says_so(nodes: Nodes) -> None:
    closed = connect(nodes.root)
    closed.close()
    closed.close()
    with pytest.raises(UnavailableError, match="closed"):
        closed.run(out_of_range())


class TestDeaths:
    """Each with a datacenter of its own."""

    @pytest.mark.parametrize("node_type", ["math", "storage"])
    def test_the_run_after_a_leaders_death_succeeds_at_once(self, tmp_path: Path, node_type: str) -> None:
        with running(tmp_path, "application-0", "storage-0", "math-0") as nodes:
            nodes.start("math-1", "storage-1")
            with connect(nodes.root) as datacenter:
                graph = TaskGraph("before and after")
                number = graph.math.shift_left(value=3, bits=1)
                graph.storage.write_integer(client_id=CLIENT, name="n", value=number.value)
                used = {hop.node for hop in datacenter.run(graph).trail}
                assert used == {"math-0", "storage-0"}
                nodes.kill(f"{node_type}-0")
                trail = datacenter.run(graph, timeout_s=5).trail
                assert {hop.node for hop in trail} == used - {f"{node_type}-0"} | {f"{node_type}-1"}

    def test_a_run_in_a_dying_node_goes_on_at_the_standby(self, tmp_path: Path) -> None:
        with running(tmp_path, "application-0", "math-0") as nodes, connect(nodes.root) as datacenter:
            nodes.start("math-1")
            run = datacenter.submit(slow_graph(30), timeout_s=60)
            nodes.wait_until_busy("math-0")
            nodes.kill("math-0")
            run.result()
            assert {hop.node for hop in run.trail} == {"math-1"}
            assert min(hop.attempt for hop in run.trail) == 2  # a third one follows when the directory drops the node

    def test_a_run_in_a_stopped_node_goes_on_at_the_standby_and_the_woken_one_does_no_harm(self, tmp_path: Path) -> None:
        with running(tmp_path, "application-0", "math-0") as nodes, connect(nodes.root) as datacenter:
            nodes.start("math-1")
            run = datacenter.submit(slow_graph(30), timeout_s=60)
            nodes.wait_until_busy("math-0")
            stopped = psutil.Process(nodes.processes["math-0"].pid)
            stopped.suspend()
            run.result()
            assert {(hop.node, hop.attempt) for hop in run.trail} == {("math-1", 2)}
            graph = TaskGraph("after")
            step = graph.math.shift_left(value=3, bits=1)
            assert datacenter.run(graph)[step].value == 6
            stopped.resume()
            pinned = graph.node("math-0").shift_left(value=step.value, bits=1)
            assert datacenter.run(graph)[pinned].value == 12

    def test_a_run_in_a_dying_node_fails_soon_if_there_is_no_other(self, tmp_path: Path) -> None:
        with running(tmp_path, "application-0", "math-0") as nodes, connect(nodes.root) as datacenter:
            run = datacenter.submit(slow_graph(), timeout_s=60)
            nodes.wait_until_busy("math-0")
            nodes.kill("math-0")
            with pytest.raises(UnavailableError, match="math-0") as caught:
                run.result()
            assert not caught.value.definite

    def test_a_restarted_node_is_used_again(self, tmp_path: Path) -> None:
        with running(tmp_path, "application-0", "math-0") as nodes, connect(nodes.root) as datacenter:
            graph = TaskGraph("again")
            step = graph.node("math-0").shift_left(value=3, bits=1)
            assert datacenter.run(graph)[step].value == 6
            nodes.kill("math-0")
            with pytest.raises(UnavailableError, match="math-0"):
                datacenter.run(graph)
            nodes.start("math-0")
            assert datacenter.run(graph)[step].value == 6
