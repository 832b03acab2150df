"""Capabilities: what links take away nobody gets back, and no chain counts that was not made link by link from the key."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protos import fractos_pb2, storage_pb2
from Services.fractos.capability import (
    Grant,
    Rights,
    issue_for_service,
    narrow,
    verify,
)
from Services.fractos.errors import InvalidArgumentError, PermissionDeniedError
from tests.unit.chains import TENSOR, refuse, sealed, step, storage
from tests.unit.derivations import (
    EXPIRES_AT,
    KEY,
    NUMBER,
    OBJECT,
    OTHER_KEY,
    SIZE,
    Call,
    Tree,
    calls,
    may_call,
    may_touch,
    memory_trees,
    message,
    nonce,
    operation,
    service_trees,
)


def allows(capability: fractos_pb2.Capability, call: Call) -> bool:
    try:
        grant = verify(KEY, capability)
        grant.allow_call(operation(call.operation), message(call.operation, call.arguments), call.node, call.unseen)
    except PermissionDeniedError:
        return False
    return call.now <= grant.expires_at


def grants(tree: Tree) -> list[Grant | None]:
    """What each capability allows; None for one that is worth nothing."""
    found: list[Grant | None] = []
    for capability in tree.capabilities:
        try:
            found.append(verify(KEY, capability))
        except PermissionDeniedError:
            found.append(None)
    return found


def touches(grant: Grant | None, touch: tuple[Rights, tuple[int, int]]) -> bool:
    try:
        if grant is not None:
            grant.allow_memory(OBJECT, touch[0], *touch[1])
    except PermissionDeniedError:
        return False
    return grant is not None


class TestDerivations:
    @settings(deadline=None, max_examples=60, database=None)
    @given(service_trees(), st.lists(calls(), min_size=1, max_size=6))
    def test_a_chain_allows_what_each_of_its_links_allows_and_nothing_else(self, tree: Tree, wanted: list[Call]) -> None:
        for number, call in itertools.product(range(len(tree.capabilities)), wanted):
            assert allows(tree.capabilities[number], call) == may_call(tree, number, call)

    @settings(deadline=None, max_examples=60, database=None)
    @given(service_trees(), st.lists(calls(), min_size=1, max_size=6))
    def test_what_is_derived_allows_no_more_than_what_it_came_from(self, tree: Tree, wanted: list[Call]) -> None:
        for number, call in itertools.product(range(1, len(tree.capabilities)), wanted):
            if allows(tree.capabilities[number], call):
                assert allows(tree.capabilities[tree.parents[number]], call)

    @settings(deadline=None, max_examples=60, database=None)
    @given(memory_trees())
    def test_parts_of_memory_are_never_larger_than_what_they_were_cut_from(self, tree: Tree) -> None:
        parts = [(offset, size) for offset in range(SIZE + 2) for size in range(SIZE + 2)]
        touched = [[touch for touch in itertools.product(Rights, parts) if touches(one, touch)] for one in grants(tree)]
        for number, allowed in enumerate(touched):
            assert allowed == [
                (right, part) for right, part in itertools.product(Rights, parts) if may_touch(tree, number, right, *part)
            ]
            if number:
                assert set(allowed) <= set(touched[tree.parents[number]])

    @settings(deadline=None, max_examples=60, database=None)
    @given(service_trees())
    def test_every_link_has_an_id_and_a_chain_has_those_of_all_it_came_from(self, tree: Tree) -> None:
        ids = [verify(KEY, capability).ids for capability in tree.capabilities]
        assert len({own[-1] for own in ids}) == len(ids)
        for number, own in enumerate(ids):
            assert own == tuple(ids[one][-1] for one in tree.path(number))


LEFT = fractos_pb2.Tensor(dtype="uint8", shape=[1], memory={"owner": "127.0.0.1:1", "object": OBJECT, "size": 1})


@pytest.mark.parametrize(
    ("path", "name", "wanted", "other"),
    [
        ("storage.write_text", "text", "x", "y"),
        ("storage.write_text", "text", "", "y"),
        ("storage.write_text", "text", "x", None),
        ("storage.read_image", "width", 0, 7),
        ("storage.read_image", "width", 7, 0),
        ("storage.list", "prefix", None, "a"),
        ("storage.list", "prefix", None, ""),
        ("storage.list", "prefix", "", None),
        ("storage.write_integer", "value", None, fractos_pb2.BigInteger()),
        ("storage.write_integer", "value", fractos_pb2.BigInteger(), NUMBER),
        ("storage.write_integer", "value", fractos_pb2.BigInteger(), None),
        ("cnn.predict", "image", TENSOR, fractos_pb2.Tensor(dtype="uint8", shape=[1], data=b"\1")),
        ("cnn.predict", "image", TENSOR, fractos_pb2.Tensor(dtype="uint8", shape=[1, 1], data=b"\0")),
        ("cnn.predict", "image", TENSOR, LEFT),
        ("cnn.predict", "image", LEFT, TENSOR),
        ("cnn.predict", "model", None, "mine"),
    ],
)
def test_an_argument_that_was_set_stays_set(path: str, name: str, wanted: Any, other: Any) -> None:
    root = issue_for_service(KEY, nonce(0), service=path.partition(".")[0], expires_at=EXPIRES_AT)
    setting = narrow(root, nonce(1), operation=path, arguments=message(path, {name: wanted}), set=[name])
    again = narrow(setting, nonce(2), operation=path, arguments=message(path, {name: other}), set=[name])
    verify(KEY, setting).allow_call(operation(path), message(path, {name: wanted}), "x-0")
    for capability, value in ((setting, other), (again, wanted), (again, other)):
        with pytest.raises(PermissionDeniedError, match=f"argument {name} set to another value") as caught:
            verify(KEY, capability).allow_call(operation(path), message(path, {name: value}), "x-0")
        assert caught.value.field == name
    with pytest.raises(PermissionDeniedError, match=f"argument {name} set to another value"):
        verify(KEY, setting).allow_call(operation(path), message(path, {name: wanted}), "x-0", [name])


class TestForgeries:
    def test_the_chain_that_the_others_are_changed_from_is_good(self) -> None:
        request = storage_pb2.WriteTextRequest(client_id="ann", name="a", text="x")
        verify(KEY, step()).allow_call(operation("storage.write_text"), request, "storage-0")

    def test_a_chain_of_nothing_is_refused(self) -> None:
        refuse(fractos_pb2.Capability())
        refuse(fractos_pb2.Capability(seal=KEY))

    def test_a_seal_by_another_key_is_refused(self) -> None:
        refuse(step(), OTHER_KEY)
        refuse(sealed(OTHER_KEY, *step().links))
        refuse(sealed(b"", *step().links))
        refuse(fractos_pb2.Capability(links=step().links, seal=bytes(32)))

    def test_every_bit_counts(self) -> None:
        good = step()
        for number, link in enumerate(good.links):
            for bit in range(8 * len(link)):
                links = list(good.links)
                links[number] = flipped(link, bit)
                refuse(fractos_pb2.Capability(links=links, seal=good.seal))
        for bit in range(8 * len(good.seal)):
            refuse(fractos_pb2.Capability(links=good.links, seal=flipped(good.seal, bit)))

    def test_every_byte_counts(self) -> None:
        good = step()
        for number, link in enumerate(good.links):
            for length in range(len(link)):
                links = list(good.links)
                links[number] = link[:length]
                refuse(fractos_pb2.Capability(links=links, seal=good.seal))
        for length in range(len(good.seal)):
            refuse(fractos_pb2.Capability(links=good.links, seal=good.seal[:length]))
        refuse(fractos_pb2.Capability(links=good.links, seal=good.seal + b"\0"))

    def test_links_are_neither_dropped_nor_moved_nor_repeated(self) -> None:
        good = step()
        indexes = range(len(good.links))
        orders = [order for length in range(6) for order in itertools.product(indexes, repeat=length)]
        for order in orders:
            if list(order) != list(indexes):
                refuse(fractos_pb2.Capability(links=[good.links[one] for one in order], seal=good.seal))

    def test_chains_are_not_spliced(self) -> None:
        mine, theirs = step(), narrow(storage(client_id="bob"), nonce(7), node="storage-1")
        for head, tail in itertools.product(range(len(mine.links) + 1), range(len(theirs.links) + 1)):
            for first, second in ((mine, theirs), (theirs, mine)):
                links = [*first.links[:head], *second.links[tail:]]
                for seal in (mine.seal, theirs.seal):
                    spliced = fractos_pb2.Capability(links=links, seal=seal)
                    if spliced not in (mine, theirs):
                        refuse(spliced)

    def test_no_message_and_no_repr_tells_a_secret(self) -> None:
        good = step()
        grant = verify(KEY, good)
        said = [repr(grant), str(grant)]
        attempts: list[Callable[[], object]] = [
            lambda: verify(OTHER_KEY, good),
            lambda: grant.allow_call(operation("storage.list"), storage_pb2.ListRequest(client_id="ann"), "storage-0"),
            lambda: grant.allow_memory(OBJECT, Rights.READ, 0, 1),
            lambda: narrow(fractos_pb2.Capability(seal=good.seal), nonce(4)),
            lambda: narrow(good, good.seal),
            lambda: issue_for_service(KEY[:5], nonce(4), service="storage", expires_at=EXPIRES_AT),
        ]
        for attempt in attempts:
            with pytest.raises((PermissionDeniedError, InvalidArgumentError)) as caught:
                attempt()
            said += [str(caught.value), repr(caught.value)]
        for secret in (KEY, OTHER_KEY, good.seal, step().seal[:8], *(nonce(number) for number in range(5))):
            for text in said:
                assert repr(secret)[2:-1] not in text
                assert secret.hex() not in text


def flipped(data: bytes, bit: int) -> bytes:
    return (int.from_bytes(data, "big") ^ 1 << bit).to_bytes(len(data), "big")
