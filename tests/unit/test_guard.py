"""The verifier of a node: what it lets through, what it takes note of, and that it forgets nothing too early."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protos import application_pb2, fractos_pb2, storage_pb2
from Services.fractos import guard as guard_module
from Services.fractos.capability import EVERY_RIGHT, Rights, issue_for_memory, issue_for_service, narrow, verify
from Services.fractos.errors import InvalidArgumentError, PermissionDeniedError, ResourceExhaustedError
from Services.fractos.guard import Guard
from Services.fractos.ledger import CLOCK_BOUND_S
from tests.unit.derivations import (
    EXPIRES_AT,
    KEY,
    NODES,
    OBJECT,
    OTHER_KEY,
    SIZE,
    Call,
    Tree,
    calls,
    may_call,
    memory_trees,
    message,
    nonce,
    operation,
    service_trees,
)

NOW = 100.0
unhurried = settings(deadline=None)
MEMORY_KEY = bytes(range(2, 34))
LIST = operation("storage.list")
APPLICATION_KEY = bytes(range(3, 35))


def storage(number: int = 0, **root: Any) -> fractos_pb2.Capability:
    return issue_for_service(KEY, nonce(number), service="storage", expires_at=EXPIRES_AT, **root)


def memory(key: bytes = MEMORY_KEY) -> fractos_pb2.Memory:
    capability = issue_for_memory(key, nonce(0), object=OBJECT, size=SIZE, rights=EVERY_RIGHT, expires_at=EXPIRES_AT)
    return fractos_pb2.Memory(object=OBJECT, size=SIZE, capability=capability)


def revocation(capability: fractos_pb2.Capability, key: bytes = KEY) -> fractos_pb2.Revocation:
    grant = verify(key, capability)
    return fractos_pb2.Revocation(service=grant.service, id=grant.ids[-1], expires_at=grant.expires_at)


def lists(guard: Guard, capability: fractos_pb2.Capability, now: float = NOW, client_id: str = "ann") -> None:
    guard.check_call(capability, LIST, storage_pb2.ListRequest(client_id=client_id), NODES[0], now)


def lets_through(guard: Guard, capability: fractos_pb2.Capability, call: Call) -> bool:
    request = message(call.operation, call.arguments)
    try:
        guard.check_call(capability, operation(call.operation), request, call.node, call.now, call.unseen)
    except PermissionDeniedError:
        return False
    return True


@pytest.fixture
def guard() -> Guard:
    return Guard("storage", KEY, MEMORY_KEY)


class TestTrees:
    @unhurried
    @given(service_trees(), st.lists(calls(), min_size=1, max_size=6))
    def test_a_guard_says_the_same_the_first_time_and_from_its_cache(self, tree: Tree, wanted: list[Call]) -> None:
        guard = Guard("storage", KEY)
        for _ in range(2):
            for number, call in itertools.product(range(len(tree.capabilities)), wanted):
                assert lets_through(guard, tree.capabilities[number], call) == may_call(tree, number, call)

    @unhurried
    @given(service_trees(restricted=False), st.data(), st.booleans())
    def test_a_revocation_ends_what_was_derived_and_nothing_else(self, tree: Tree, data: st.DataObject, cached: bool) -> None:
        guard = Guard("storage", KEY)
        if cached:
            for capability in tree.capabilities:
                lists(guard, capability)
        revoked = set(data.draw(st.lists(st.sampled_from(range(len(tree.capabilities))), min_size=1, max_size=3)))
        guard.revoke([revocation(tree.capabilities[number]) for number in revoked])
        for number, capability in enumerate(tree.capabilities):
            if revoked & set(tree.path(number)):
                with pytest.raises(PermissionDeniedError, match="was revoked"):
                    lists(guard, capability)
            else:
                lists(guard, capability)

    @unhurried
    @given(memory_trees(), st.data())
    def test_so_it_is_with_parts_of_memory(self, tree: Tree, data: st.DataObject) -> None:
        guard = Guard("storage", OTHER_KEY, KEY)
        whole = range(len(tree.capabilities))
        before = [_reads(guard, tree.capabilities[number]) for number in whole]
        chosen = data.draw(st.sampled_from([number for number in whole if before[number]]))
        guard.revoke([revocation(tree.capabilities[chosen])])
        for number in whole:
            still = before[number] and chosen not in tree.path(number)
            assert _reads(guard, tree.capabilities[number]) == still


def _reads(guard: Guard, capability: fractos_pb2.Capability) -> bool:
    """Whether any byte may be read, or the empty part."""
    for offset, size in itertools.product(range(SIZE + 1), (0, 1)):
        try:
            part = fractos_pb2.Memory(object=OBJECT, offset=offset, size=size, capability=capability)
            guard.check_memory(part, Rights.READ, NOW)
        except PermissionDeniedError:
            continue
        return True
    return False


class TestCalls:
    def test_a_call_without_a_capability_is_told_where_to_get_one(self, guard: Guard) -> None:
        for none in (fractos_pb2.Capability(), fractos_pb2.Capability(seal=KEY)):
            with pytest.raises(PermissionDeniedError, match=r"storage.list needs a capability.* clients add NAME"):
                lists(guard, none)

    def test_what_has_expired_is_refused_also_if_it_is_known(self, guard: Guard) -> None:
        lists(guard, storage(), EXPIRES_AT - 0.1)
        with pytest.raises(PermissionDeniedError, match="expired 0 s ago"):
            lists(guard, storage(), EXPIRES_AT)
        with pytest.raises(PermissionDeniedError, match="expired 2 s ago"):
            lists(guard, storage(), EXPIRES_AT + 2)
        short = narrow(storage(), nonce(1), expires_at=NOW)
        with pytest.raises(PermissionDeniedError, match="has expired"):
            lists(guard, short, NOW + 1)

    def test_one_bad_chain_does_not_pass_for_a_good_one_that_is_known(self, guard: Guard) -> None:
        good = narrow(storage(client_id="ann"), nonce(1), node=NODES[0])
        lists(guard, good)
        for bad in (
            fractos_pb2.Capability(links=good.links, seal=storage(client_id="ann").seal),
            fractos_pb2.Capability(links=good.links[:1], seal=good.seal),
            fractos_pb2.Capability(links=[good.links[0] + good.links[1]], seal=good.seal),
        ):
            with pytest.raises(PermissionDeniedError, match="is not valid"):
                lists(guard, bad)

    def test_the_capability_of_another_service_is_refused(self, guard: Guard) -> None:
        with pytest.raises(PermissionDeniedError, match="is not valid"):
            lists(guard, issue_for_service(OTHER_KEY, nonce(0), service="storage", expires_at=EXPIRES_AT))
        with pytest.raises(PermissionDeniedError, match="for cnn, not for nodes of type storage"):
            lists(guard, issue_for_service(KEY, nonce(0), service="cnn", expires_at=EXPIRES_AT))

    def test_a_guard_without_a_key_lets_nobody_in(self) -> None:
        with pytest.raises(InvalidArgumentError, match="32 bytes, not 0"):
            lists(Guard("storage", b""), storage())


class TestMemory:
    def test_a_reference_is_good_for_the_part_that_it_names(self, guard: Guard) -> None:
        guard.check_memory(memory(), Rights.WRITE, NOW)
        beyond = fractos_pb2.Memory(object=OBJECT, offset=1, size=SIZE, capability=memory().capability)
        with pytest.raises(PermissionDeniedError, match="bytes 0 to 8, not for 1 to 9"):
            guard.check_memory(beyond, Rights.READ, NOW)

    def test_a_reference_without_a_capability_is_refused(self, guard: Guard) -> None:
        with pytest.raises(PermissionDeniedError, match="without a capability"):
            guard.check_memory(fractos_pb2.Memory(object=OBJECT, size=SIZE), Rights.READ, NOW)

    def test_neither_key_stands_for_the_other(self, guard: Guard) -> None:
        by_memory_key = issue_for_service(MEMORY_KEY, nonce(0), service="storage", expires_at=EXPIRES_AT)
        with pytest.raises(PermissionDeniedError, match="not for nodes of type storage"):
            lists(guard, by_memory_key)
        with pytest.raises(PermissionDeniedError, match="for Memory, not for nodes of type storage"):
            guard.check_memory(memory(KEY), Rights.READ, NOW)

    def test_a_capability_for_operations_opens_no_memory_and_the_reverse(self, guard: Guard) -> None:
        reference = fractos_pb2.Memory(object=OBJECT, size=SIZE, capability=storage())
        with pytest.raises(PermissionDeniedError, match="not for this Memory"):
            guard.check_memory(reference, Rights.READ, NOW)
        with pytest.raises(PermissionDeniedError, match=r"for Memory, not for storage\.list"):
            lists(guard, memory().capability)

    def test_memory_of_another_process_is_refused(self) -> None:
        with pytest.raises(PermissionDeniedError, match="is not valid"):
            Guard("storage", KEY, OTHER_KEY).check_memory(memory(), Rights.READ, NOW)
        with pytest.raises(PermissionDeniedError, match="is not valid"):
            Guard("storage", KEY).check_memory(memory(), Rights.READ, NOW)


class TestClients:
    """Whose runs an application node starts."""

    guard = Guard("application", APPLICATION_KEY)

    def capability(self, **root: Any) -> fractos_pb2.Capability:
        root = {"service": "application", **root}
        return issue_for_service(APPLICATION_KEY, nonce(0), expires_at=EXPIRES_AT, **root)

    def test_a_capability_says_whose_runs_it_is_for(self) -> None:
        assert self.guard.client_of(self.capability(client_id="ann"), NOW) == "ann"
        assert self.guard.client_of(self.capability(), NOW) == ""
        for_less_long = narrow(self.capability(client_id="ann"), nonce(1), client_id="ann", expires_at=NOW + 1)
        assert self.guard.client_of(for_less_long, NOW) == "ann"

    def test_anything_else_starts_no_run(self) -> None:
        ann = self.capability(client_id="ann")
        other = issue_for_service(APPLICATION_KEY, nonce(0), service="storage", expires_at=EXPIRES_AT)
        for wrong in (
            narrow(ann, nonce(1), client_id="bob"),
            narrow(ann, nonce(1), node="application-0"),
            narrow(ann, nonce(1), operation="application.submit"),
            narrow(
                ann,
                nonce(1),
                operation="application.submit",
                arguments=application_pb2.SubmitRequest(timeout_s=1),
                set=["timeout_s"],
            ),
            other,
        ):
            with pytest.raises(PermissionDeniedError, match=r"not one for running graphs|not for nodes of type application"):
                self.guard.client_of(wrong, NOW)
        with pytest.raises(PermissionDeniedError, match="is not valid"):
            self.guard.client_of(storage(client_id="ann"), NOW)
        with pytest.raises(PermissionDeniedError, match="takes a capability, and none came"):
            self.guard.client_of(fractos_pb2.Capability(), NOW)


class TestRevocations:
    def test_the_later_of_two_ends_counts(self, guard: Guard) -> None:
        once = revocation(storage())
        earlier = fractos_pb2.Revocation(service="storage", id=once.id, expires_at=NOW)
        guard.revoke([once, earlier, once])
        guard.expire(EXPIRES_AT)
        with pytest.raises(PermissionDeniedError, match="was revoked"):
            lists(guard, storage())

    @pytest.mark.parametrize("behind_s", [0.1, CLOCK_BOUND_S / 2, CLOCK_BOUND_S])
    def test_no_clock_that_is_set_back_within_the_bound_brings_a_chain_back(self, guard: Guard, behind_s: float) -> None:
        guard.revoke([revocation(storage())])
        for now in (EXPIRES_AT, EXPIRES_AT + CLOCK_BOUND_S - 0.1, EXPIRES_AT + CLOCK_BOUND_S):
            guard.expire(now)
            with pytest.raises(PermissionDeniedError, match=r"was revoked|has expired"):
                lists(guard, storage(), now - behind_s)

    def test_one_is_forgotten_when_no_clock_can_bring_the_chain_back(self, guard: Guard) -> None:
        guard.revoke([revocation(storage())])
        for now in (EXPIRES_AT, EXPIRES_AT + CLOCK_BOUND_S - 0.1):
            guard.expire(now)
            with pytest.raises(PermissionDeniedError, match="was revoked"):
                lists(guard, storage(), EXPIRES_AT - 0.1)
        assert guard.expiry.next_due == EXPIRES_AT + CLOCK_BOUND_S
        guard.expire(EXPIRES_AT + CLOCK_BOUND_S)
        lists(guard, storage(), EXPIRES_AT - 0.1)

    def test_they_are_limited_and_those_that_are_known_may_be_repeated(
        self, guard: Guard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(guard_module, "REVOCATIONS", 2)
        known = [revocation(storage(number)) for number in range(2)]
        guard.revoke(known)
        guard.revoke(known)
        with pytest.raises(ResourceExhaustedError, match="2 revocations are remembered"):
            guard.revoke([revocation(storage(2))])
        guard.expire(EXPIRES_AT + CLOCK_BOUND_S)
        guard.revoke([revocation(storage(2))])
        with pytest.raises(PermissionDeniedError, match="was revoked"):
            lists(guard, storage(2))

    def test_what_is_revoked_can_be_revoked_again_by_who_holds_it(self, guard: Guard) -> None:
        """Not every node may have confirmed it: then whoever revokes has to ask again."""
        first = guard.verify_to_revoke(storage(), NOW)
        guard.revoke([revocation(storage())])
        assert guard.verify_to_revoke(storage(), NOW) == first
        with pytest.raises(PermissionDeniedError, match="was revoked"):
            lists(guard, storage())
        with pytest.raises(PermissionDeniedError, match="was revoked"):
            guard.verify_to_revoke(narrow(storage(), nonce(1)), NOW)
        with pytest.raises(PermissionDeniedError, match="is not valid"):
            guard.verify_to_revoke(fractos_pb2.Capability(links=storage().links, seal=OTHER_KEY), NOW)

    def test_nobody_uses_up_the_room_by_revoking_what_he_derived(self, guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(guard_module, "REVOCATIONS", 4)
        monkeypatch.setattr(guard_module, "FOR_ISSUED", 2)
        mine = [narrow(storage(), nonce(number)) for number in range(1, 4)]
        guard.revoke([revocation(one) for one in mine[:2]])
        for more in (mine[2], memory().capability):
            with pytest.raises(ResourceExhaustedError, match="kept for capabilities as they were issued"):
                guard.verify_to_revoke(more, NOW)
        guard.verify_to_revoke(mine[0], NOW)
        guard.verify_to_revoke(storage(), NOW)
        guard.revoke([revocation(storage())])
        with pytest.raises(PermissionDeniedError, match="was revoked"):
            lists(guard, mine[2])


class TestCache:
    def test_it_has_a_limit_in_number(self, guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(guard_module, "KEPT", 3)
        for number in range(10):
            lists(guard, storage(number))
            assert len(guard._grants) <= 3

    def test_it_has_a_limit_in_bytes_also_for_what_is_no_part_of_the_chain(
        self, guard: Guard, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(guard_module, "KEPT_BYTES", 10_000)
        for number in range(20):
            padded = fractos_pb2.Capability.FromString(storage(number).SerializeToString() + b"\x7a\xa0\x1f" + bytes(4000))
            lists(guard, padded)
            assert sum(map(len, guard._grants)) <= 10_000

    def test_a_chain_that_is_known_is_not_verified_again(self, guard: Guard) -> None:
        assert guard.grant(storage(), NOW) is guard.grant(storage(), NOW)


def test_a_guard_tells_no_secret(guard: Guard) -> None:
    said = [repr(guard), str(guard)]
    guard.revoke([revocation(storage(1))])
    refused = (fractos_pb2.Capability(links=storage().links, seal=OTHER_KEY), storage(1), memory().capability)
    for capability in refused:
        with pytest.raises(PermissionDeniedError) as caught:
            lists(guard, capability)
        said += [str(caught.value), repr(caught.value)]
    for secret in (KEY, MEMORY_KEY, OTHER_KEY, storage().seal, storage(1).seal, memory().capability.seal):
        for text in said:
            assert repr(secret)[2:-1] not in text
            assert secret.hex() not in text
