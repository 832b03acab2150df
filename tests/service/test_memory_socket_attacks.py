"""The socket for processes of the same host: it passes nothing to who has no right, and takes nothing that could change."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from protos import fractos_pb2
from Services.fractos import memory_block
from Services.fractos.capability import narrow
from Services.fractos.transport import memory_packets
from Services.fractos.transport.memory_packets import Question
from tests.nodes import Nodes, nodes
from tests.service.test_memory_attacks import (
    DENIED,
    EVE,
    NONCE,
    SECRET,
    Reference,
    alice,
    changed,
    clients,
    eve,
    fabrications,
    hers,
    mine,
    read,
)

__all__ = ["alice", "clients", "eve", "hers", "mine", "nodes"]


def asked(memory: Reference, descriptor: int = -1) -> tuple[bytes, list[int]]:
    """What a process of this user gets on the Unix socket, if it hands over such a descriptor."""
    connection = memory_packets.new_socket()
    connection.setblocking(True)
    with connection:
        connection.connect(memory_packets.socket_name(memory.owner))
        memory_packets.send(connection, Question(1, "", memory.SerializeToString()).packed(), descriptor)
        packet, descriptors = memory_packets.receive(connection)
        memory_packets.close_all(descriptors)
        return memory_packets.Answer.unpacked(packet).failure, descriptors


@pytest.mark.skipif(not memory_packets.AVAILABLE, reason="this system has no Unix socket that says who is at the other end")
class TestUnixSocket:
    def test_it_asks_for_a_capability_as_well(self, nodes: Nodes, hers: Reference, mine: Reference) -> None:
        for name, memory in fabrications(nodes, hers, mine).items():
            failure, descriptors = asked(memory)
            assert (fractos_pb2.Failure.FromString(failure).status, descriptors) == (DENIED, []), name

    def test_who_may_read_a_part_gets_no_descriptor_of_the_whole(self, hers: Reference) -> None:
        part = changed(hers, offset=10, size=10)
        narrowed = changed(part, capability=narrow(hers.capability, NONCE, offset=10, size=10))
        assert asked(narrowed) == (b"", [])
        assert len(asked(part)[1]) == len(asked(hers)[1]) == 1

    def test_it_takes_only_what_nobody_can_change_and_only_from_who_may(
        self, nodes: Nodes, mine: Reference, tmp_path: Path
    ) -> None:
        """A client hands over its own memfd: what it can still write, or read from elsewhere, must not become Memory."""
        math = nodes.authority(EVE).capability("math")
        address = nodes.address("math-0")
        offered = fractos_pb2.Memory(owner=address, size=8, capability=math)
        secret = tmp_path / "secret"
        secret.write_bytes(SECRET[:8])
        sealed, partly, open_one = (memfd(seals) for seals in (memory_block.SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK, 0))
        directory, file = os.open(tmp_path, os.O_RDONLY), os.open(secret, os.O_RDWR)
        wrong = [
            (changed(offered, capability=None), sealed, DENIED),
            (changed(offered, capability=mine.capability), sealed, DENIED),
            (changed(offered, capability=narrow(math, NONCE, node="math-1")), sealed, DENIED),
            (changed(offered, capability=narrow(math, NONCE, operation="math.scale")), sealed, DENIED),
            (changed(offered, object=mine.object), sealed, "INVALID_ARGUMENT"),
            (changed(offered, size=9), sealed, "INVALID_ARGUMENT"),
            (changed(offered, size=2**63), sealed, "INVALID_ARGUMENT"),
            *((offered, descriptor, "INVALID_ARGUMENT") for descriptor in (partly, open_one, directory, file)),
        ]
        try:
            for memory, descriptor, status in wrong:
                failure, _ = asked(memory, descriptor)
                assert fractos_pb2.Failure.FromString(failure).status == status
            assert asked(offered, sealed)[0] == b""
        finally:
            memory_packets.close_all([sealed, partly, open_one, directory, file])
        assert read(mine) == bytes(len(SECRET))

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
    def test_it_hangs_up_on_another_user(self, hers: Reference) -> None:
        question = Question(1, "", hers.SerializeToString()).packed()
        arguments = [memory_packets.socket_name(hers.owner)[1:], question.hex()]
        command = [sys.executable, "-c", AS_ANOTHER_USER]
        results = [
            subprocess.run([*command, user, *arguments], capture_output=True, text=True, timeout=30, check=True)
            for user in ("65534", "0")
        ]
        assert [result.stdout.strip() for result in results] == ["[]", "[1]"]


def memfd(seals: int) -> int:
    """Eight bytes in a memfd that is sealed so."""
    descriptor = os.memfd_create("attack", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(descriptor, bytes(8))
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


# Prints how many descriptors came with each answer.
AS_ANOTHER_USER = """
import os, socket, sys
user, name, question = sys.argv[1:]
os.setgid(int(user)), os.setuid(int(user))
connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
connection.settimeout(20)
got = []
try:
    connection.connect("\\0" + name)
    connection.send(bytes.fromhex(question))
    packet, descriptors, _, _ = socket.recv_fds(connection, 65536, 4)
    got = [len(descriptors)] if packet else []
except (ConnectionError, BrokenPipeError):
    pass
print(got)
"""
