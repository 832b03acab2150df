"""How a node is written into a directory, and which name it gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from Services.fractos.directory.entry import Registration, choose_index, decode, encode, entry_prefix, index_of
from Services.fractos.directory.interface import Member
from Services.fractos.errors import AlreadyExistsError


def registration(index: int | None = None, node_type: str = "math") -> Registration:
    return Registration(node_type, index, "7c9e6679-7425-40de-944b-e07fc1f90ae7", "127.0.0.1:50051", 42, "/logs/node.log")


def member(index: int, node_type: str = "math") -> Member:
    return decode(f"{entry_prefix(registration(), index)}0000000003", encode(registration(node_type=node_type), index, 0.0))


@given(index=st.integers(0, 10**6), sequence=st.integers(0, 2**31 - 1), milliseconds=st.integers(0, 2**42), log=st.text())
def test_what_is_written_is_read(index: int, sequence: int, milliseconds: int, log: str) -> None:
    written = Registration("storage", None, "an-id", "10.0.0.7:1", 2**22, log)
    read = decode(f"{entry_prefix(written, index)}{sequence:010}", encode(written, index, milliseconds / 1000))
    assert read == Member("storage", f"storage-{index}", "an-id", sequence, "10.0.0.7:1", 2**22, log, milliseconds / 1000)
    assert index_of(read) == index


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"payload": {"node": "math"}}', b'{"payload": {"node": 1}}'])
def test_what_is_not_an_entry_is_named(content: bytes) -> None:
    with pytest.raises(ValueError, match="a-math-0-0000000001 is not the entry of a node"):
        decode("a-math-0-0000000001", content)


def test_a_name_without_a_sequence_number_is_not_that_of_an_entry() -> None:
    with pytest.raises(ValueError, match=r"notes\.txt is not the entry of a node"):
        decode("notes.txt", encode(registration(), 0, 0.0))


@given(taken=st.sets(st.integers(0, 20)))
def test_the_lowest_free_index_is_chosen(taken: set[int]) -> None:
    chosen = choose_index(registration(), [member(index) for index in taken] + [member(0, "cnn")])
    assert chosen not in taken
    assert set(range(chosen)) <= taken


@given(wanted=st.integers(0, 20), taken=st.sets(st.integers(0, 20)))
def test_an_index_that_was_asked_for_is_given_or_refused(wanted: int, taken: set[int]) -> None:
    living = [member(index) for index in taken]
    if wanted in taken:
        with pytest.raises(AlreadyExistsError, match=rf"^math-{wanted} is running already: pid 42 at 127\.0\.0\.1:50051"):
            choose_index(registration(wanted), living)
    else:
        assert choose_index(registration(wanted), living) == wanted


def test_only_an_entry_in_the_way_is_a_rival() -> None:
    entry = f"{entry_prefix(registration(), 1)}0000000003"
    assert registration(1).competes(entry)
    assert registration(None).competes(entry)
    assert not registration(2).competes(entry)
    assert not registration(11).competes(entry)
    assert not registration(None, "cnn").competes(entry)
