"""The proof that a unary call comes from a Controller of the datacenter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from protos import fractos_pb2
from Services.fractos.errors import FailedPreconditionError, FractosError, ResourceExhaustedError, UnauthenticatedError
from Services.fractos.ledger import CLOCK_BOUND_S
from Services.fractos.transport import call_proof
from Services.fractos.transport.call_proof import REMEMBERED_S, CallProver, CallVerifier

KEY = bytes(range(32))
ADDRESS = "127.0.0.1:1000"
METHOD = "/mockdc.fractos.v1.Capabilities/Confirm"
REQUEST = fractos_pb2.ConfirmRequest(revocation=fractos_pb2.Revocation(service="math", id=b"i" * 16, expires_at=5.5))


class Pair:
    """A caller and a called node, with a clock each."""

    def __init__(self, key: bytes = KEY, datacenter: str = "lab") -> None:
        self.callers = self.called = 1000.0
        self._numbers: Iterator[int] = iter(range(1 << 30))
        self.prover = CallProver(datacenter, key, "math-9", lambda: self.callers, self._random)
        self.verifier = CallVerifier("lab", KEY, ADDRESS, lambda: self.called)

    def _random(self, count: int) -> bytes:
        return next(self._numbers).to_bytes(count, "big")

    def call(self, request: fractos_pb2.ConfirmRequest = REQUEST) -> tuple[tuple[str, str], ...]:
        return self.prover.metadata(ADDRESS, METHOD, request)

    def check(self, metadata: tuple[tuple[str, str], ...], request: fractos_pb2.ConfirmRequest = REQUEST) -> str:
        return self.verifier.check(metadata, METHOD, request)


def changed(metadata: tuple[tuple[str, str], ...], key: str, value: str) -> tuple[tuple[str, str], ...]:
    return tuple((one, value if one == f"mockdc-{key}" else old) for one, old in metadata)


def test_the_sender_is_known_by_its_name_once_for_each_call() -> None:
    pair = Pair()
    for _ in range(3):
        call = pair.call()
        assert pair.check(call) == "math-9"
        with pytest.raises(UnauthenticatedError, match="was made before, with the same proof"):
            pair.check(call)


@pytest.mark.parametrize("pair", [Pair(key=bytes(32)), Pair(key=b"")], ids=["another key", "no key"])
def test_another_key_is_refused_with_a_remedy(pair: Pair) -> None:
    with pytest.raises(UnauthenticatedError, match=r"math-9 did not prove that it belongs to datacenter 'lab'.*copy") as caught:
        pair.check(pair.call())
    assert KEY.hex() not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("node", "math-8", UnauthenticatedError),
        ("time", "1000.000001", UnauthenticatedError),
        ("nonce", "f" * 32, UnauthenticatedError),
        ("nonce", "", UnauthenticatedError),
        ("proof", "", UnauthenticatedError),
        ("proof", "0" * 64, UnauthenticatedError),
        ("proof", "\u00e4" * 64, UnauthenticatedError),
        ("address", "127.0.0.1:1001", FailedPreconditionError),
        ("datacenter", "other", FailedPreconditionError),
    ],
)
def test_every_part_of_it_is_proved(key: str, value: str, kind: type[FractosError]) -> None:
    pair = Pair()
    with pytest.raises(kind):
        pair.check(changed(pair.call(), key, value))


def test_it_is_for_one_method_request_and_node() -> None:
    pair = Pair()
    with pytest.raises(UnauthenticatedError):
        pair.verifier.check(pair.call(), METHOD.replace("Confirm", "Revoke"), REQUEST)
    with pytest.raises(UnauthenticatedError):
        pair.check(pair.call(), fractos_pb2.ConfirmRequest())
    with pytest.raises(FailedPreconditionError, match=r"wants the node at '127\.0\.0\.1:1001'"):
        pair.check(pair.prover.metadata("127.0.0.1:1001", METHOD, REQUEST))
    with pytest.raises(FailedPreconditionError, match="only Controllers of the datacenter may call this"):
        pair.check(())


@pytest.mark.parametrize("offset", [-CLOCK_BOUND_S - 0.01, CLOCK_BOUND_S + 0.01])
def test_a_clock_that_is_too_far_off_is_refused(offset: float) -> None:
    pair = Pair()
    pair.callers += offset
    with pytest.raises(FailedPreconditionError, match="the clocks differ"):
        pair.check(pair.call())


def test_a_recorded_call_is_refused_for_ever() -> None:
    pair = Pair()
    pair.callers += CLOCK_BOUND_S  # what is ahead stays good for longest
    call = pair.call()
    assert pair.check(call) == "math-9"
    for _ in range(int(40 * REMEMBERED_S)):
        pair.called += 0.05
        with pytest.raises((UnauthenticatedError, FailedPreconditionError)):
            pair.check(call)
        pair.callers = pair.called
        pair.check(pair.call())  # others do not make it forgotten too early


def test_what_is_remembered_is_bounded_and_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_proof, "MAX_REMEMBERED", 3)
    pair = Pair()
    for _ in range(3):
        pair.check(pair.call())
    with pytest.raises(ResourceExhaustedError, match="call again later") as caught:
        pair.check(pair.call())
    assert caught.value.retry_after_s == REMEMBERED_S
    pair.called = pair.callers = pair.called + REMEMBERED_S + 0.01
    assert pair.check(pair.call()) == "math-9"
