"""Capabilities: what links take away nobody gets back, and no chain counts that was not made link by link from the key."""

from __future__ import annotations

import hmac
import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protos import cnn_pb2, fractos_pb2, storage_pb2
from Services.fractos.capability import (
    EVERY_RIGHT,
    MAX_CHAIN_BYTES,
    MAX_LINKS,
    Grant,
    Rights,
    issue_for_memory,
    issue_for_service,
    narrow,
    verify,
)
from Services.fractos.errors import InvalidArgumentError, PermissionDeniedError
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

NOW = 100.0
unhurried = settings(deadline=None)


def storage(**root: Any) -> fractos_pb2.Capability:
    return issue_for_service(KEY, nonce(0), service="storage", expires_at=EXPIRES_AT, **root)


def memory(rights: Rights = EVERY_RIGHT) -> fractos_pb2.Capability:
    return issue_for_memory(KEY, nonce(0), object=OBJECT, size=SIZE, rights=rights, expires_at=EXPIRES_AT)


def step() -> fractos_pb2.Capability:
    """A chain of three: ann's files, then one operation with two of its arguments set, then one node."""
    write = narrow(
        narrow(storage(), nonce(1), client_id="ann"),
        nonce(2),
        operation="storage.write_text",
        arguments=storage_pb2.WriteTextRequest(name="a", text="x"),
        set=["name", "text"],
    )
    return narrow(write, nonce(3), node="storage-0")


def sealed(key: bytes, *links: bytes) -> fractos_pb2.Capability:
    """A chain as anybody can make it who has the key, of links that this project does not make."""
    seal = key
    for link in links:
        seal = hmac.digest(seal, link, "sha256")
    return fractos_pb2.Capability(links=links, seal=seal)


def extended(capability: fractos_pb2.Capability, link: fractos_pb2.Link | bytes) -> fractos_pb2.Capability:
    """A chain as its holder can extend it without asking `narrow`."""
    serialized = link if isinstance(link, bytes) else link.SerializeToString()
    return fractos_pb2.Capability(
        links=[*capability.links, serialized], seal=hmac.digest(capability.seal, serialized, "sha256")
    )


def allows(capability: fractos_pb2.Capability, call: Call) -> bool:
    try:
        grant = verify(KEY, capability)
        grant.allow_call(operation(call.operation), message(call.operation, call.arguments), call.node, call.unseen)
    except PermissionDeniedError:
        return False
    return call.now < grant.expires_at


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


def refuse(capability: fractos_pb2.Capability, key: bytes = KEY) -> None:
    """The chain is worth nothing."""
    with pytest.raises(PermissionDeniedError, match="the capability is not valid"):
        verify(key, capability)


class TestDerivations:
    @unhurried
    @given(service_trees(), st.lists(calls(), min_size=1, max_size=6))
    def test_a_chain_allows_what_each_of_its_links_allows_and_nothing_else(self, tree: Tree, wanted: list[Call]) -> None:
        for number, call in itertools.product(range(len(tree.capabilities)), wanted):
            assert allows(tree.capabilities[number], call) == may_call(tree, number, call)

    @unhurried
    @given(service_trees(), st.lists(calls(), min_size=1, max_size=6))
    def test_what_is_derived_allows_no_more_than_what_it_came_from(self, tree: Tree, wanted: list[Call]) -> None:
        for number, call in itertools.product(range(1, len(tree.capabilities)), wanted):
            if allows(tree.capabilities[number], call):
                assert allows(tree.capabilities[tree.parents[number]], call)

    @unhurried
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

    @unhurried
    @given(service_trees())
    def test_every_link_has_an_id_and_a_chain_has_those_of_all_it_came_from(self, tree: Tree) -> None:
        ids = [verify(KEY, capability).ids for capability in tree.capabilities]
        assert len({own[-1] for own in ids}) == len(ids)
        for number, own in enumerate(ids):
            assert own == tuple(ids[one][-1] for one in tree.path(number))


TENSOR = fractos_pb2.Tensor(dtype="uint8", shape=[1], data=b"\0")
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


class TestScope:
    """A valid chain, used for what it is not."""

    @pytest.mark.parametrize(
        ("path", "request_", "node", "said"),
        [
            (
                "storage.list",
                storage_pb2.ListRequest(client_id="ann"),
                "storage-0",
                "for storage.write_text, not for storage.list",
            ),
            ("cnn.predict", cnn_pb2.PredictRequest(), "cnn-0", "for storage, not for cnn.predict"),
            (
                "storage.write_text",
                storage_pb2.WriteTextRequest(client_id="ann", name="a", text="x"),
                "storage-1",
                "for node storage-0, not for storage-1",
            ),
            (
                "storage.write_text",
                storage_pb2.WriteTextRequest(client_id="bob", name="a", text="x"),
                "storage-0",
                "the files of client 'ann'",
            ),
            (
                "storage.write_text",
                storage_pb2.WriteTextRequest(client_id="ann", name="a", text="y"),
                "storage-0",
                "argument text set to another value",
            ),
        ],
    )
    def test_another_call_is_refused(self, path: str, request_: Any, node: str, said: str) -> None:
        with pytest.raises(PermissionDeniedError, match=said):
            verify(KEY, step()).allow_call(operation(path), request_, node)

    @pytest.mark.parametrize("name", ["client_id", "name", "text"])
    def test_an_argument_that_is_fetched_later_is_not_what_it_seems(self, name: str) -> None:
        request = storage_pb2.WriteTextRequest(client_id="ann", name="a", text="x")
        with pytest.raises(PermissionDeniedError) as caught:
            verify(KEY, step()).allow_call(operation("storage.write_text"), request, "storage-0", [name])
        assert caught.value.field == name

    def test_another_clients_files_stay_shut_when_the_client_is_named_twice(self) -> None:
        both = narrow(storage(client_id="ann"), nonce(1), client_id="bob")
        for client_id in ("ann", "bob", ""):
            with pytest.raises(PermissionDeniedError, match="the files of client"):
                verify(KEY, both).allow_call(
                    operation("storage.list"), storage_pb2.ListRequest(client_id=client_id), "storage-0"
                )

    def test_what_has_no_files_is_open_to_the_capability_of_a_client(self) -> None:
        capability = issue_for_service(KEY, nonce(0), service="cnn", expires_at=EXPIRES_AT, client_id="ann")
        grant = verify(KEY, capability)
        grant.allow_call(operation("cnn.predict"), cnn_pb2.PredictRequest(image=TENSOR), "cnn-0")
        assert grant.client_ids == ("ann",)

    def test_arguments_of_another_operation_are_refused(self) -> None:
        odd = narrow(
            storage(), nonce(1), operation="storage.list", arguments=storage_pb2.WriteTextRequest(text="x"), set=["text"]
        )
        serialized = storage_pb2.ListRequest(prefix="a").SerializeToString()
        strange = [
            fractos_pb2.Link(nonce=nonce(1), operation="storage.list", arguments=arguments, set=["prefix"])
            for arguments in (b"\x0a\xff", serialized + b"\xf8\x01\x01", serialized + b"\x0a\x03ann")
        ]  # no message; an argument of tomorrow; an argument that is not set
        for chain in (odd, *(extended(storage(), link) for link in strange)):
            with pytest.raises(PermissionDeniedError, match=r"sets arguments that storage\.list does not have"):
                verify(KEY, chain).allow_call(operation("storage.list"), storage_pb2.ListRequest(prefix="a"), "storage-0")

    def test_the_right_to_memory_is_none_to_operations_and_the_reverse(self) -> None:
        with pytest.raises(PermissionDeniedError, match=r"for Memory, not for storage\.list"):
            verify(KEY, memory()).allow_call(operation("storage.list"), storage_pb2.ListRequest(), "storage-0")
        for object in (OBJECT, b""):
            with pytest.raises(PermissionDeniedError, match="not for this Memory"):
                verify(KEY, storage()).allow_memory(object, Rights.READ, 0, 0)

    def test_reading_is_not_writing(self) -> None:
        grant = verify(KEY, narrow(memory(), nonce(1), rights=Rights.READ))
        grant.allow_memory(OBJECT, Rights.READ, 0, SIZE)
        for right in (Rights.WRITE, Rights.RELEASE):
            with pytest.raises(PermissionDeniedError, match=f"right to {str(right.name).lower()} this Memory"):
                grant.allow_memory(OBJECT, right, 0, SIZE)
        regained = narrow(narrow(memory(), nonce(1), rights=Rights.READ), nonce(2), rights=EVERY_RIGHT)
        assert verify(KEY, regained).rights == Rights.READ

    @pytest.mark.parametrize(("offset", "size"), [(0, 1), (1, 2), (2, 4), (5, 1), (4, 2), (2**64 - 1, 1), (2, 2**64 - 1)])
    def test_no_byte_beyond_the_part_is_read(self, offset: int, size: int) -> None:
        part = verify(KEY, narrow(memory(), nonce(1), offset=2, size=3))
        part.allow_memory(OBJECT, Rights.READ, 2, 3)
        with pytest.raises(PermissionDeniedError, match="for bytes 2 to 5"):
            part.allow_memory(OBJECT, Rights.READ, offset, size)

    @pytest.mark.parametrize("object", [b"", OBJECT[:-1], OBJECT[::-1]])
    def test_another_object_is_refused(self, object: bytes) -> None:
        with pytest.raises(PermissionDeniedError, match="not for this Memory"):
            verify(KEY, memory()).allow_memory(object, Rights.READ, 0, 1)

    def test_who_is_given_a_part_cannot_release_the_whole(self) -> None:
        for offset, size in ((1, None), (None, SIZE - 1), (SIZE, None), (None, 0)):
            grant = verify(KEY, narrow(memory(), nonce(1), offset=offset, size=size))
            assert grant.rights == Rights.READ | Rights.WRITE
        assert verify(KEY, narrow(memory(), nonce(1), offset=0, size=SIZE)).rights == EVERY_RIGHT


class TestLinks:
    """Links that are properly sealed and still mean nothing, or not what they pretend."""

    @pytest.mark.parametrize(
        "link",
        [
            fractos_pb2.Link(nonce=nonce(1), service="cnn"),
            fractos_pb2.Link(nonce=nonce(1), service="storage"),
            fractos_pb2.Link(nonce=nonce(1), object=OBJECT),
            fractos_pb2.Link(nonce=nonce(1), offset=0),
            fractos_pb2.Link(nonce=nonce(1), size=0),
            fractos_pb2.Link(nonce=nonce(1), rights=7),
            fractos_pb2.Link(nonce=nonce(1), set=["name"]),  # of which operation?
            fractos_pb2.Link(nonce=nonce(1), operation="storage.list", arguments=b"\x0a\x01a"),  # set by no name
            fractos_pb2.Link(nonce=nonce(1)[1:]),
            fractos_pb2.Link(),
            fractos_pb2.Link(nonce=nonce(1), expires_at=math.nan),
            fractos_pb2.Link(nonce=nonce(1), expires_at=math.inf),
            fractos_pb2.Link(nonce=nonce(1), expires_at=-math.inf),
            fractos_pb2.Link(nonce=nonce(1), expires_at=-1.0),
            fractos_pb2.Link(nonce=nonce(1)).SerializeToString() + b"\xf8\x01\x01",  # field 31: a restriction of tomorrow
            b"\xff",
            b"",
        ],
    )
    def test_a_link_that_is_not_understood_makes_the_chain_worthless(self, link: fractos_pb2.Link | bytes) -> None:
        refuse(extended(storage(), link))

    @pytest.mark.parametrize(
        "link",
        [
            fractos_pb2.Link(nonce=nonce(1), operation="storage.list"),
            fractos_pb2.Link(nonce=nonce(1), node="storage-0"),
            fractos_pb2.Link(nonce=nonce(1), client_id="ann"),
            fractos_pb2.Link(nonce=nonce(1), set=["name"]),
            fractos_pb2.Link(nonce=nonce(1), arguments=b"\x0a\x01a"),
            fractos_pb2.Link(nonce=nonce(1), service="storage"),
            fractos_pb2.Link(nonce=nonce(1), object=OBJECT[::-1]),
            fractos_pb2.Link(nonce=nonce(1), offset=2**64 - 1, size=1),
            fractos_pb2.Link(nonce=nonce(1), offset=2**64 - 1, size=2**64 - 1),
            fractos_pb2.Link(nonce=nonce(1), offset=1, size=2**64 - 1),
            fractos_pb2.Link(nonce=nonce(1), size=SIZE + 1),
            fractos_pb2.Link(nonce=nonce(1), offset=SIZE + 1),
        ],
    )
    def test_a_link_that_a_part_of_memory_cannot_have_makes_the_chain_worthless(self, link: fractos_pb2.Link) -> None:
        refuse(extended(memory(), link))

    @pytest.mark.parametrize(
        "root",
        [
            fractos_pb2.Link(nonce=nonce(0), service="storage"),  # for ever
            fractos_pb2.Link(nonce=nonce(0), expires_at=EXPIRES_AT),  # for nothing
            fractos_pb2.Link(nonce=nonce(0), expires_at=math.inf, service="storage"),
            fractos_pb2.Link(nonce=nonce(0), expires_at=EXPIRES_AT, service="storage", object=OBJECT, size=1, rights=1),
            fractos_pb2.Link(nonce=nonce(0), expires_at=EXPIRES_AT, object=OBJECT[1:], size=1, rights=1),
            fractos_pb2.Link(nonce=nonce(0), expires_at=EXPIRES_AT, object=OBJECT, size=1),
            fractos_pb2.Link(nonce=nonce(0), expires_at=EXPIRES_AT, object=OBJECT, rights=1),
            fractos_pb2.Link(nonce=nonce(0), expires_at=EXPIRES_AT, object=OBJECT, size=1, rights=1, offset=1),
        ],
    )
    def test_a_root_must_say_what_for_and_until_when(self, root: fractos_pb2.Link) -> None:
        refuse(sealed(KEY, root.SerializeToString()))

    def test_an_encoding_that_is_not_canonical_keeps_its_seal(self) -> None:
        """The fields in another order are the same link, in other bytes: what was sealed are the bytes."""
        swapped = (
            fractos_pb2.Link(operation="storage.list").SerializeToString()
            + fractos_pb2.Link(nonce=nonce(1)).SerializeToString()
        )
        chain = extended(storage(), swapped)
        assert verify(KEY, chain).operations == ("storage.list",)
        again = fractos_pb2.Link.FromString(swapped).SerializeToString()
        assert again != swapped
        refuse(fractos_pb2.Capability(links=[chain.links[0], again], seal=chain.seal))

    def test_no_field_of_a_link_goes_unread(self) -> None:
        """Whoever adds a restriction to the proto must have it read: a link that has it would be taken for one without it."""
        read = {"nonce", "expires_at", "service", "operation", "node", "client_id", "arguments", "set"}
        assert {*fractos_pb2.Link.DESCRIPTOR.fields_by_name} == read | {"object", "offset", "size", "rights"}

    def test_no_link_prolongs_a_chain(self) -> None:
        longer = narrow(narrow(storage(), nonce(1), expires_at=500.0), nonce(2), expires_at=900.0)
        assert verify(KEY, longer).expires_at == 500.0
        assert verify(KEY, narrow(storage(), nonce(1), expires_at=2 * EXPIRES_AT)).expires_at == EXPIRES_AT

    def test_rights_that_do_not_exist_give_nothing(self) -> None:
        more = extended(memory(Rights.READ), fractos_pb2.Link(nonce=nonce(1), rights=0xFFFFFFFF))
        assert verify(KEY, more).rights == Rights.READ


class TestLimits:
    def test_a_chain_has_so_many_links(self) -> None:
        chain = storage()
        for number in range(1, MAX_LINKS):
            chain = narrow(chain, nonce(number))
        assert len(verify(KEY, chain).ids) == MAX_LINKS
        with pytest.raises(InvalidArgumentError, match=f"more than {MAX_LINKS} links"):
            narrow(chain, nonce(MAX_LINKS))
        refuse(extended(chain, fractos_pb2.Link(nonce=nonce(MAX_LINKS))))

    def test_a_chain_has_so_many_bytes(self) -> None:
        large = storage_pb2.WriteTextRequest(text="x" * MAX_CHAIN_BYTES)
        with pytest.raises(InvalidArgumentError, match=f"more than {MAX_CHAIN_BYTES} bytes"):
            narrow(storage(), nonce(1), operation="storage.write_text", arguments=large, set=["text"])
        link = fractos_pb2.Link(
            nonce=nonce(1), operation="storage.write_text", arguments=large.SerializeToString(), set=["text"]
        )
        refuse(extended(storage(), link))

    def test_a_key_of_another_length_is_a_mistake(self) -> None:
        for key in (b"", KEY[1:], KEY + b"\0"):
            with pytest.raises(InvalidArgumentError, match=f"a key has 32 bytes, not {len(key)}"):
                issue_for_service(key, nonce(0), service="storage", expires_at=EXPIRES_AT)
            with pytest.raises(InvalidArgumentError, match=f"a key has 32 bytes, not {len(key)}"):
                verify(key, storage())

    def test_nonces_are_long_enough(self) -> None:
        with pytest.raises(InvalidArgumentError, match="12 random bytes, not 3"):
            narrow(storage(), b"abc")

    def test_nothing_is_narrowed_from_nothing(self) -> None:
        with pytest.raises(InvalidArgumentError, match="it has no links"):
            narrow(fractos_pb2.Capability(), nonce(1))

    def test_arguments_that_would_not_be_set_are_a_mistake(self) -> None:
        """Whoever gives some believes that they restrict."""
        arguments = storage_pb2.ListRequest(client_id="ann", prefix="a")
        for names in ([], ["prefix"]):
            with pytest.raises(InvalidArgumentError, match="the argument client_id has a value but is not to be set"):
                narrow(storage(), nonce(1), operation="storage.list", arguments=arguments, set=names)

    def test_two_derivations_are_never_the_same(self) -> None:
        assert narrow(storage(), nonce(1)).seal != narrow(storage(), nonce(2)).seal
