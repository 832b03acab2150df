"""The files of a chaos in a real storage node: what it copies there, and that all of it goes, also what a killed one left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from Services.datacenter.chaos.preparation import learn_predictions
from Services.datacenter.chaos.storage import Store
from Services.fractos import Datacenter, connect
from tests.nodes import Nodes, running

ID, OTHER_ID = "0123456789abcdef", "fedcba9876543210"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """An application and a storage node, which know the client of a chaos."""
    with running(tmp_path_factory.mktemp("datacenter"), "application-0", "storage-0") as started:
        started.issue("chaos")
        yield started


@pytest.fixture
def datacenter(nodes: Nodes) -> Iterator[Datacenter]:
    with connect(nodes.root, client_id="chaos") as connected:
        yield connected


def storage(nodes: Nodes) -> Path:
    return nodes.root / "Services/storage"


def test_pictures_are_copied_and_go_with_the_rest(nodes: Nodes, datacenter: Datacenter) -> None:
    store = Store(ID, 1, storage(nodes))
    store.make(datacenter)
    names = store.add_pictures(datacenter, [b"one", b"two"])
    assert [(storage(nodes) / "chaos" / name).read_bytes() for name in names] == [b"one", b"two"]
    store.remove(datacenter)
    assert not (storage(nodes) / "chaos").exists()


def test_what_a_killed_chaos_has_left_is_removed_with_its_pictures(nodes: Nodes, datacenter: Datacenter) -> None:
    killed, store = Store(OTHER_ID, 1, storage(nodes)), Store(ID, 1, storage(nodes))
    killed.make(datacenter)
    killed.add_pictures(datacenter, [b"one"])
    left = len(list((storage(nodes) / "chaos").iterdir()))
    assert store.remove_left(datacenter) == left > 1
    assert list((storage(nodes) / "chaos").iterdir()) == []


def test_without_a_network_the_copies_of_the_users_pictures_go_too(
    nodes: Nodes, datacenter: Datacenter, tmp_path: Path
) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"a picture")
    said: list[str] = []
    store = Store(ID, 1, storage(nodes))
    assert learn_predictions(datacenter, store, tmp_path, said.append) == {}
    assert said[0].startswith("without predictions: ")
    assert store.pictures
    store.remove(datacenter)
    assert not list((storage(nodes) / "chaos").glob("*"))
    assert (tmp_path / "cat.jpg").read_bytes() == b"a picture"
