"""Random trees of capabilities, and what each allows by a model that knows no seals: plain restrictions, one per link."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from protos import fractos_pb2
from Services.fractos.capability import EVERY_RIGHT, NONCE_BYTES, Rights, issue_for_memory, issue_for_service, narrow
from Services.fractos.operations import Catalogue, Operation

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
OBJECT = b"0123456789abcdef"
EXPIRES_AT = 1000.0
CATALOGUE = Catalogue.from_protos()
NODES = ("storage-0", "storage-1")
CLIENTS = ("ann", "bob")
SIZE = 8  # of the Memory object, in bytes

# What each operation may be asked with. None: the argument is absent.
NUMBER = fractos_pb2.BigInteger(magnitude=b"\x15")
VALUES: dict[str, dict[str, list[Any]]] = {
    "storage.write_text": {"client_id": [*CLIENTS, ""], "name": ["a", "b"], "text": ["", "x"]},
    "storage.list": {"client_id": [*CLIENTS, ""], "prefix": [None, "", "a"]},
    "storage.write_integer": {
        "client_id": [*CLIENTS],
        "name": ["a"],
        "value": [None, fractos_pb2.BigInteger(), NUMBER, fractos_pb2.BigInteger(negative=True, magnitude=b"\x15")],
    },
}


def operation(path: str) -> Operation:
    """One of the catalogue."""
    found = CATALOGUE.get(path)
    assert found is not None
    return found


def message(path: str, arguments: dict[str, Any]) -> Any:
    """The request of an operation."""
    return operation(path).request_class(**{name: value for name, value in arguments.items() if value is not None})


def nonce(number: int) -> bytes:
    return number.to_bytes(NONCE_BYTES, "big")


@dataclass(frozen=True)
class Restriction:
    """One link of a service's chain; None: it says nothing about that."""

    expires_at: float | None = None
    operation: str | None = None
    node: str | None = None
    client_id: str | None = None
    settings: dict[str, Any] | None = None  # only with an operation


@dataclass(frozen=True)
class Call:
    operation: str
    node: str
    arguments: dict[str, Any]
    now: float
    unseen: tuple[str, ...]


@dataclass(frozen=True)
class MemoryRestriction:
    offset: int | None = None
    size: int | None = None
    rights: Rights | None = None


@dataclass
class Tree:
    """Capabilities by number, the root is 0: each was derived from a parent by a restriction."""

    parents: list[int] = field(default_factory=lambda: [-1])
    restrictions: list[Any] = field(default_factory=lambda: [None])
    capabilities: list[fractos_pb2.Capability] = field(default_factory=list)

    def path(self, number: int) -> list[int]:
        """From the root to a capability, both included."""
        found: list[int] = []
        while number >= 0:
            found.insert(0, number)
            number = self.parents[number]
        return found


def may_call(tree: Tree, number: int, call: Call) -> bool:
    """Whether every restriction on the way, each on its own, lets the call through."""
    restrictions = [tree.restrictions[one] for one in tree.path(number)[1:]]
    return call.now < EXPIRES_AT and all(_lets_through(one, call) for one in restrictions)


def _lets_through(restriction: Restriction, call: Call) -> bool:
    if restriction.expires_at is not None and call.now >= restriction.expires_at:
        return False
    if restriction.operation not in (None, call.operation) or restriction.node not in (None, call.node):
        return False
    demanded = [*(restriction.settings or {}).items()]
    if restriction.client_id is not None:
        demanded.append(("client_id", restriction.client_id))
    return all(name not in call.unseen and call.arguments[name] == value for name, value in demanded)


def may_touch(tree: Tree, number: int, right: Rights, offset: int, size: int) -> bool:
    """Whether a part of the object may be used, with the object as a list of positions that links cut."""
    positions, rights = list(range(SIZE + 1)), EVERY_RIGHT  # the last one is the end, where nothing but an empty part is
    for one in tree.path(number)[1:]:
        restriction: MemoryRestriction = tree.restrictions[one]
        start = positions[0] if restriction.offset is None else restriction.offset
        end = positions[-1] if restriction.size is None else start + restriction.size
        if start > end or start not in positions or end not in positions:
            return False  # it asks for more than there is: such a chain is worth nothing
        positions = [position for position in positions if start <= position <= end]
        rights &= EVERY_RIGHT if restriction.rights is None else restriction.rights
    if len(positions) <= SIZE:
        rights &= ~Rights.RELEASE  # the rest of the object is not its holder's to free
    return bool(rights & right) and offset in positions and offset + size in positions


@st.composite
def _restrictions(draw: st.DrawFn) -> Restriction:
    path = draw(st.sampled_from([None, *VALUES]))
    settings = None
    if path is not None:
        names = draw(st.lists(st.sampled_from(list(VALUES[path])), unique=True))
        settings = {name: draw(st.sampled_from(VALUES[path][name])) for name in names}
    return Restriction(
        draw(st.sampled_from([None, None, 500.0, 2000.0])),
        path,
        draw(st.sampled_from([None, None, *NODES])),
        draw(st.sampled_from([None, None, *CLIENTS])),
        settings,
    )


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """Calls of the operations in `VALUES`, some with arguments that are Memory."""
    path = draw(st.sampled_from(list(VALUES)))
    arguments = {name: draw(st.sampled_from(values)) for name, values in VALUES[path].items()}
    unseen = tuple(draw(st.lists(st.sampled_from(list(VALUES[path])), max_size=1)))
    return Call(
        path, draw(st.sampled_from(NODES)), arguments, draw(st.sampled_from([100.0, 499.9, 500.0, 999.9, 1000.0])), unseen
    )


@st.composite
def service_trees(draw: st.DrawFn, *, restricted: bool = True) -> Tree:
    """Up to eight capabilities for the operations of storage nodes."""
    root = issue_for_service(KEY, nonce(0), service="storage", expires_at=EXPIRES_AT)
    tree = Tree(capabilities=[root])
    for number in range(1, draw(st.integers(2, 8))):
        parent = draw(st.integers(0, number - 1))
        restriction = draw(_restrictions()) if restricted else Restriction()
        tree.parents.append(parent)
        tree.restrictions.append(restriction)
        tree.capabilities.append(derive(tree.capabilities[parent], number, restriction))
    return tree


def derive(capability: fractos_pb2.Capability, number: int, restriction: Restriction) -> fractos_pb2.Capability:
    """The link that stands for a restriction."""
    settings = restriction.settings
    arguments = message(restriction.operation, settings) if settings and restriction.operation else None
    return narrow(
        capability,
        nonce(number),
        expires_at=restriction.expires_at or 0.0,
        operation=restriction.operation or "",
        node=restriction.node or "",
        client_id=restriction.client_id or "",
        arguments=arguments,
        set=list(settings or {}),
    )


@st.composite
def memory_trees(draw: st.DrawFn) -> Tree:
    """Up to six capabilities for parts of one object."""
    root = issue_for_memory(KEY, nonce(0), object=OBJECT, size=SIZE, rights=EVERY_RIGHT, expires_at=EXPIRES_AT)
    tree = Tree(capabilities=[root])
    numbers = st.none() | st.integers(0, SIZE + 1)
    for number in range(1, draw(st.integers(2, 6))):
        parent = draw(st.integers(0, number - 1))
        rights = draw(st.none() | st.integers(0, 7).map(Rights))
        restriction = MemoryRestriction(draw(numbers), draw(numbers), rights)
        tree.parents.append(parent)
        tree.restrictions.append(restriction)
        tree.capabilities.append(
            narrow(
                tree.capabilities[parent],
                nonce(number),
                offset=restriction.offset,
                size=restriction.size,
                rights=restriction.rights,
            )
        )
    return tree
