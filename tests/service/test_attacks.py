"""A client that wants the files of another: every way to ask is refused, and nothing has happened to them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from protos import fractos_pb2, math_pb2, storage_pb2
from Services.fractos import TaskGraph, connect
from Services.fractos.capability import NONCE_BYTES, issue_for_service, narrow
from Services.fractos.errors import PermissionDeniedError
from Services.fractos.graph import default_catalogue
from Services.fractos.keys import load_or_make_key
from Services.fractos.operations import Operation
from Services.fractos.values import from_big_integer
from tests.nodes import Nodes, nodes, running
from tests.service.attackers import call, files_of, outcome, run, some_arguments, status_of, step

__all__ = ["nodes"]

ALICE, EVE = "alice", "eve"
SECRET = "the secret of alice"
STORAGE = default_catalogue().of_type("storage")
NONCE = bytes(NONCE_BYTES)
DENIED = "PERMISSION_DENIED"


@pytest.fixture(scope="module", autouse=True)
def folders(nodes: Nodes) -> Path:
    """Where the clients' folders are: alice's has a file, eve's has one of the same name and one that names alice."""
    for client in (ALICE, EVE):
        nodes.issue(client)
    folder = nodes.root / "Services" / "storage"
    texts = {ALICE: {"file.txt": SECRET, "picture.txt": "7"}, EVE: {"file.txt": "eve's own", "who.txt": ALICE}}
    for client, files in texts.items():
        (folder / client).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / client / name).write_text(text)
    return folder


@pytest.fixture(autouse=True)
def _nothing_has_happened(folders: Path) -> Iterator[None]:
    """To alice's files, whatever was tried."""
    before = files_of(folders / ALICE)
    yield
    assert files_of(folders / ALICE) == before


def own(nodes: Nodes, service: str = "storage", client_id: str = EVE) -> fractos_pb2.Capability:
    """A client's own capability for a service, not narrowed at all."""
    return nodes.authority(client_id).capability(service)


def read(client_id: str, name: str = "file.txt") -> storage_pb2.ReadTextRequest:
    return storage_pb2.ReadTextRequest(client_id=client_id, name=name)


# -- the files of another client ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", STORAGE, ids=lambda what: what.name)
class TestEveryOperation:
    def test_called_directly(self, nodes: Nodes, what: Operation) -> None:
        for client_id, name, refused in ((ALICE, "file.txt", True), (EVE, "mine.txt", False)):
            request = what.request_class(**some_arguments(what, client_id=client_id, name=name))
            status = status_of(call, nodes, "storage-0", what.path, request, own(nodes))
            assert (status == DENIED) == refused, status

    @pytest.mark.parametrize("node", ["", "storage-0"])
    def test_in_a_graph_made_by_hand(self, nodes: Nodes, what: Operation, node: str) -> None:
        for client_id, name, refused in ((ALICE, "file.txt", True), (EVE, "mine.txt", False)):
            request = what.request_class(**some_arguments(what, client_id=client_id, name=name))
            status = outcome(nodes, EVE, step(1, what.path, request, own(nodes), node=node))
            assert (status == DENIED) == refused, status

    @pytest.mark.parametrize("node", ["", "storage-0"])
    def test_by_the_client(self, nodes: Nodes, what: Operation, node: str) -> None:
        graph = TaskGraph("attack")
        place: Any = graph.node(node) if node else graph.storage
        values = some_arguments(what, client_id=ALICE, name="file.txt")
        if "value" in values:
            values["value"] = 7
        getattr(place, what.name)(**values)
        with connect(nodes.root, client_id=EVE) as datacenter, pytest.raises(PermissionDeniedError, match="client_id 'alice'"):
            datacenter.run(graph)


def test_the_client_is_bound_from_the_output_of_a_step(nodes: Nodes) -> None:
    graph = TaskGraph("attack")
    who = graph.storage.read_text(client_id=EVE, name="who.txt")
    graph.storage.read_text(client_id=who.text, name="file.txt")
    with connect(nodes.root, client_id=EVE) as datacenter, pytest.raises(PermissionDeniedError, match="client_id 'alice'"):
        datacenter.run(graph)
    edge = fractos_pb2.Edge(to=2, bindings=[fractos_pb2.Binding(source="text", target="client_id")])
    by_hand = [
        step(1, "storage.read_text", read(EVE, "who.txt"), own(nodes), edges=[edge]),
        step(2, "storage.read_text", read(""), own(nodes)),
    ]
    result = run(nodes, EVE, by_hand)
    assert (result.failure.status, [hop.step for hop in result.trail]) == (DENIED, [1])


@pytest.mark.parametrize("field", ["client_id", "name"])
def test_the_client_or_the_file_is_memory(nodes: Nodes, field: str) -> None:
    """The name of alice lies in Memory, where no check of arguments sees it."""
    wanted = {"client_id": ALICE, "name": "../alice/file.txt"}[field]
    request = read(EVE)
    request.ClearField(field)
    with connect(nodes.root, client_id=EVE) as datacenter:
        memory = datacenter.memory(wanted.encode(), node="storage-0").memory
        argument = fractos_pb2.Argument(name=field, memory=memory)
        status = outcome(nodes, EVE, step(1, "storage.read_text", request, own(nodes), memories=[argument]))
    assert status == {"client_id": DENIED, "name": "INVALID_ARGUMENT"}[field]


def test_a_client_that_is_given_and_memory_as_well_is_refused(nodes: Nodes) -> None:
    with connect(nodes.root, client_id=EVE) as datacenter:
        memory = datacenter.memory(ALICE.encode(), node="storage-0").memory
        argument = fractos_pb2.Argument(name="client_id", memory=memory)
        assert outcome(nodes, EVE, step(1, "storage.read_text", read(EVE), own(nodes), memories=[argument])) == (
            "INVALID_ARGUMENT"
        )


UNKNOWN = b"\xfa\x01\x05alice"  # field 31, a text


@pytest.mark.parametrize(
    ("before", "after", "status"),
    [
        (b"", read(ALICE).SerializeToString(), DENIED),
        (read(ALICE).SerializeToString(), b"", "OK"),
        (b"", b"\x0a\x05alice", DENIED),
        (UNKNOWN, UNKNOWN, "OK"),
        (b"", b"\x0a\x00", DENIED),
        (b"", b"\x0a\x06alice", "INVALID_ARGUMENT"),
    ],
    ids=["the last is alice", "the first is alice", "the field alone", "unknown fields", "nobody last", "cut short"],
)
def test_arguments_that_say_two_things(nodes: Nodes, before: bytes, after: bytes, status: str) -> None:
    arguments = before + read(EVE).SerializeToString() + after
    result_status = outcome(nodes, EVE, step(1, "storage.read_text", arguments, own(nodes)))
    assert result_status == status
    if status == "OK":
        result = run(nodes, EVE, [step(1, "storage.read_text", arguments, own(nodes))])
        assert storage_pb2.ReadTextResponse.FromString(result.trail[0].output).text == "eve's own"


@pytest.mark.parametrize(
    "client_id",
    ["", "ALICE", "Eve", "eve ", "eve/", "eve/../alice", "../alice", "./alice", "eve\0alice", "еve", ".mockdc", "."],
)
def test_names_that_look_like_ones_own(nodes: Nodes, client_id: str) -> None:
    for name in ("file.txt", "changes"):
        assert status_of(call, nodes, "storage-0", "storage.read_text", read(client_id, name), own(nodes)) == DENIED


@pytest.mark.parametrize(
    "name", ["../alice/file.txt", "/alice/file.txt", "a/../../alice/file.txt", "..", "%2e%2e/alice/file.txt"]
)
def test_files_outside_ones_own_folder(nodes: Nodes, name: str) -> None:
    status = status_of(call, nodes, "storage-0", "storage.read_text", read(EVE, name), own(nodes))
    assert status == ("NOT_FOUND" if "%" in name else "INVALID_ARGUMENT")


@pytest.mark.parametrize("what", STORAGE, ids=lambda what: what.name)
def test_a_symbolic_link_in_ones_own_folder_leads_nowhere(nodes: Nodes, folders: Path, what: Operation) -> None:
    links = {"link.txt": folders / ALICE / "file.txt", "folder": folders / ALICE}
    for name, target in links.items():
        (folders / EVE / name).unlink(missing_ok=True)
        (folders / EVE / name).symlink_to(target)
    try:
        for name in ("link.txt", "folder/file.txt"):
            request = what.request_class(**some_arguments(what, client_id=EVE, name=name, prefix=name))
            try:
                answer = call(nodes, "storage-0", what.path, request, own(nodes))
            except Exception as error:  # whichever refusal: what counts is what is read and what is written
                answer = error
            assert SECRET not in str(answer)
    finally:
        for name in links:
            (folders / EVE / name).unlink(missing_ok=True)


# -- capabilities that are not the right ones -----------------------------------------------------------------------------


def damaged(capability: fractos_pb2.Capability, bit: int) -> fractos_pb2.Capability:
    changed = fractos_pb2.Capability(links=capability.links, seal=capability.seal)
    seal = bytearray(capability.seal)
    seal[bit // 8] ^= 1 << bit % 8
    changed.seal = bytes(seal)
    return changed


def test_a_direct_call_needs_the_right_capability(nodes: Nodes) -> None:
    request = read(EVE)
    good = own(nodes)
    expired = narrow(good, NONCE, expires_at=time.time() - 1)
    key = load_or_make_key(nodes.configuration.keys_path, "math")
    of_another_key = issue_for_service(key, NONCE, service="storage", expires_at=time.time() + 60, client_id=EVE)
    wrong = {
        "none": None,
        "empty": fractos_pb2.Capability(),
        "math": own(nodes, "math"),
        "application": own(nodes, "application"),
        "expired": expired,
        "made with another key": of_another_key,
        "another operation": narrow(good, NONCE, operation="storage.list"),
        "another node": narrow(good, NONCE, node="storage-1"),
        "another client": narrow(good, NONCE, client_id=ALICE),
        "alice's name in front": fractos_pb2.Capability(links=own(nodes, "storage", ALICE).links, seal=good.seal),
        **{f"bit {bit}": damaged(good, bit) for bit in (0, 100, 255)},
    }
    for name, capability in wrong.items():
        status = status_of(call, nodes, "storage-0", "storage.read_text", request, capability)
        assert status == DENIED, name
        if capability is not None:
            assert outcome(nodes, EVE, step(1, "storage.read_text", request, capability)) == DENIED, name
    assert call(nodes, "storage-0", "storage.read_text", request, good).text == "eve's own"
    assert outcome(nodes, EVE, step(1, "storage.read_text", request, good)) == "OK"


def test_what_was_handed_on_for_one_file_is_for_no_other(nodes: Nodes) -> None:
    """Alice lets eve read one of her files."""
    given = narrow(
        own(nodes, client_id=ALICE),
        NONCE,
        operation="storage.read_text",
        arguments=read("", "file.txt"),
        set=["name"],
    )
    assert call(nodes, "storage-0", "storage.read_text", read(ALICE), given).text == SECRET
    assert outcome(nodes, EVE, step(1, "storage.read_text", read(ALICE), given)) == "OK"
    widened = narrow(given, NONCE, operation="storage.read_text", arguments=read("", "picture.txt"), set=["name"])
    for capability in (given, widened):
        other_file = read(ALICE, "picture.txt")
        assert status_of(call, nodes, "storage-0", "storage.read_text", other_file, capability) == DENIED
        write = storage_pb2.WriteTextRequest(client_id=ALICE, name="file.txt", text="evil")
        assert status_of(call, nodes, "storage-0", "storage.write_text", write, capability) == DENIED


def test_a_steps_capability_is_for_the_steps_arguments(nodes: Nodes) -> None:
    """Whoever sees a graph of alice pass by."""
    graph = TaskGraph("seen")
    graph.storage.write_text(client_id=ALICE, name="file.txt", text=SECRET)
    graph.node("math-0").factorial(n=5)
    seen = fractos_pb2.Graph.FromString(nodes.authority(ALICE).graph(graph))
    write, factorial = (one.capability for one in seen.steps)
    assert outcome(nodes, EVE, step(1, "storage.write_text", seen.steps[0].arguments, write)) == "OK"  # the same again
    others: list[tuple[str, bytes | Message, fractos_pb2.Capability, str]] = [
        ("storage.write_text", storage_pb2.WriteTextRequest(client_id=ALICE, name="file.txt", text="evil"), write, ""),
        ("storage.write_text", storage_pb2.WriteTextRequest(client_id=ALICE, name="more.txt", text=SECRET), write, ""),
        ("storage.read_text", read(ALICE), write, ""),
        ("math.factorial", math_pb2.FactorialRequest(n=fractos_pb2.BigInteger(magnitude=b"\6")), factorial, "math-0"),
        ("math.factorial", seen.steps[1].arguments, factorial, "math-1"),
        ("math.factorial", seen.steps[1].arguments, write, "math-0"),
    ]
    for path, arguments, capability, node in others:
        assert outcome(nodes, EVE, step(1, path, arguments, capability, node=node)) == DENIED


def test_a_capability_outlives_a_restart_of_its_nodes_and_is_none_on_another_type(tmp_path: Path) -> None:
    with running(tmp_path, "math-0", "storage-0") as own_nodes:
        own_nodes.issue(EVE)
        capability = own(own_nodes, "math")
        request = math_pb2.FactorialRequest(n=fractos_pb2.BigInteger(magnitude=b"\5"))
        for restart in (False, True):
            if restart:
                own_nodes.kill("math-0")
                own_nodes.start("math-0")
            answer = call(own_nodes, "math-0", "math.factorial", request, capability)
            assert from_big_integer(answer.value) == 120
            assert status_of(call, own_nodes, "storage-0", "storage.read_text", read(EVE), capability) == DENIED
