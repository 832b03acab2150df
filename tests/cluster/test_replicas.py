"""Several paths, repeated paths and `replicas`: each makes nodes of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import psutil

from Services.fractos.config import CODE_ROOT
from tests.cluster.conftest import Datacenter


def test_paths_and_replicas_multiply_and_each_node_runs_its_own_script(make_datacenter: Callable[..., Datacenter]) -> None:
    datacenter = make_datacenter()
    for script in ("one.py", "other.py"):
        shutil.copy(CODE_ROOT / "tests/cluster/small_node.py", datacenter.root / script)
    config = datacenter.root / "data_center_setup.cfg"
    paths = "paths_to_controller = one.py, other.py, one.py"
    config.write_text(config.read_text().replace("paths_to_controller = tests/cluster/small_node.py", paths, 1))
    datacenter.run("up")
    status = datacenter.status()
    scripts = {
        name: psutil.Process(node["pid"]).cmdline()[1].rpartition("/")[2] for name, node in status.items() if "math" in name
    }
    assert scripts == {
        **{"math-0": "one.py", "math-1": "one.py", "math-2": "other.py"},
        **{"math-3": "other.py", "math-4": "one.py", "math-5": "one.py"},
    }
    assert {node["state"] for node in status.values()} == {"ready"}
    assert [node["role"] for node in status.values() if node["type"] == "math"].count("leader") == 1
