"""Valid chains used for what they are not, and links that are properly sealed and still mean nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest

from protos import cnn_pb2, fractos_pb2, storage_pb2
from Services.fractos.capability import (
    EVERY_RIGHT,
    MAX_CHAIN_BYTES,
    MAX_LINKS,
    Rights,
    issue_for_service,
    narrow,
    verify,
)
from Services.fractos.errors import InvalidArgumentError, PermissionDeniedError
from tests.unit.chains import TENSOR, extended, memory, refuse, sealed, step, storage
from tests.unit.derivations import (
    EXPIRES_AT,
    KEY,
    OBJECT,
    SIZE,
    nonce,
    operation,
)


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
        with pytest.raises(PermissionDeniedError, match=r"sets 'text', which is no argument of storage\.list"):
            verify(KEY, odd).allow_call(operation("storage.list"), storage_pb2.ListRequest(), "storage-0")
        broken = extended(
            storage(), fractos_pb2.Link(nonce=nonce(1), operation="storage.list", arguments=b"\x0a\xff", set=["prefix"])
        )
        with pytest.raises(PermissionDeniedError, match=r"sets arguments that storage\.list does not have"):
            verify(KEY, broken).allow_call(operation("storage.list"), storage_pb2.ListRequest(), "storage-0")

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

    def test_arguments_that_are_not_set_do_not_count(self) -> None:
        chain = narrow(storage(), nonce(1), operation="storage.list", arguments=storage_pb2.ListRequest(prefix="a"))
        verify(KEY, chain).allow_call(operation("storage.list"), storage_pb2.ListRequest(prefix="b"), "storage-0")

    def test_two_derivations_are_never_the_same(self) -> None:
        assert narrow(storage(), nonce(1)).seal != narrow(storage(), nonce(2)).seal
