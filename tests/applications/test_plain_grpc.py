"""The programs that use nothing but gRPC: as which client they come, and what a capability that they narrowed still allows.

What they print as `admin` is compared with docs/other_languages.md by test_documentation.py.
"""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Iterator

import grpc
import pytest

from Applications.plain_grpc.narrower_capability import narrowed
from protos import fractos_pb2, math_pb2, math_pb2_grpc
from Services.fractos.credentials import load_credentials
from Services.fractos.transport.unary import CAPABILITY
from tests.applications.pages import type_in
from tests.nodes import Nodes, running

PYTHON = "python3 Applications/plain_grpc"
NODEJS = "node Applications/plain_grpc/nodejs"
PROGRAMS = [
    *(f"{PYTHON}/{name}.py" for name in ("without_protos", "error_details", "narrower_capability")),
    *(f"{NODEJS}/{name}.js" for name in ("application", "error_details")),
]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A datacenter with another client beside `admin`."""
    with running(tmp_path_factory.mktemp("datacenter"), "application-0", "storage-0", "math-0") as started:
        started.issue("ann")
        yield started


def typed(program: str, nodes: Nodes, client: str) -> subprocess.CompletedProcess[str]:
    return type_in(f"MOCKDC_CLIENT={client} {program}", nodes.root)


@pytest.mark.parametrize("program", PROGRAMS)
def test_who_is_no_client_is_told_what_to_do(program: str, nodes: Nodes) -> None:
    ended = typed(program, nodes, "mallory")
    assert ended.returncode == 1
    assert (
        ended.stderr == "there is no client 'mallory' in this datacenter; type: python3 run_datacenter.py clients add mallory\n"
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_another_client_is_served_as_well(program: str, nodes: Nodes) -> None:
    ended = typed(program, nodes, "ann")
    assert ended.returncode == 0, ended.stderr


def test_a_graph_from_nodejs_writes_to_the_clients_own_files(nodes: Nodes) -> None:
    storage = nodes.root / "Services/storage"
    (storage / "ann/doubled.txt").unlink(missing_ok=True)
    ended = typed(f"{NODEJS}/application.js", nodes, "ann")
    assert "2 * 20! = 4865804016353280000" in ended.stdout
    assert (storage / "ann/doubled.txt").read_text().strip() == "4865804016353280000"
    assert not (storage / "admin/doubled.txt").exists()


@pytest.mark.parametrize(
    ("link", "refused"),
    [
        (fractos_pb2.Link(operation="math.factorial", node="math-0"), ""),
        (fractos_pb2.Link(operation="math.power"), "the capability is for math.power"),
        (fractos_pb2.Link(node="math-1"), "the capability is for node math-1"),
        (fractos_pb2.Link(expires_at=1.0), "expired"),
    ],
)
def test_a_link_takes_away_what_it_says(link: fractos_pb2.Link, refused: str, nodes: Nodes) -> None:
    own = load_credentials(nodes.configuration, "ann").capabilities["math"]
    link.nonce = secrets.token_bytes(12)
    link.expires_at = link.expires_at or time.time() + 60
    metadata = ((CAPABILITY, narrowed(own, link).SerializeToString()),)
    request = math_pb2.FactorialRequest(n=fractos_pb2.BigInteger(magnitude=b"\x03"))
    with grpc.insecure_channel(nodes.address("math-0")) as channel:
        math = math_pb2_grpc.MathStub(channel)
        if not refused:
            assert math.Factorial(request, timeout=10, metadata=metadata).value.magnitude == b"\x06"
            return
        with pytest.raises(grpc.RpcError) as caught:
            math.Factorial(request, timeout=10, metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert refused in str(caught.value.details())
