"""kill -9 of whoever leads, with a standby there: the very next run succeeds, whatever keeps the directory."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from Services.fractos import TaskGraph, connect
from tests.cluster.conftest import Datacenter, zookeeper_or_skip


@pytest.mark.parametrize("zookeeper", [True, False], ids=["zookeeper", "files"])
def test_the_run_after_a_leaders_death_succeeds_at_once(make_datacenter: Callable[..., Datacenter], zookeeper: bool) -> None:
    if zookeeper:
        zookeeper_or_skip()
    datacenter = make_datacenter(zookeeper=zookeeper, replicas=2)
    datacenter.run("up")
    try:
        graph = TaskGraph("image prediction")
        number = graph.math.shift_left(value=1, bits=1)
        picture = graph.storage.read_image(client_id="admin", name="cat_image1.jpg", width=128, height=128, after=number)
        answer = graph.cnn.predict(image=picture.image)
        graph.storage.write_text(client_id="admin", name="answer.txt", text=answer.label)
        with connect(datacenter.root) as connected:
            before = connected.run(graph)
            leaders = {hop.node for hop in before.trail}
            assert len(leaders) == 3
            for leader in sorted(leaders):
                os.kill(datacenter.pids()[leader], signal.SIGKILL)
                after = connected.run(graph)  # at once: no waiting, no second try
                assert after[answer].label == "Cat"
                assert leader not in {hop.node for hop in after.trail}
    finally:
        datacenter.run("down")
    assert not datacenter.processes()
