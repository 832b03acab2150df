"""The Memory objects of one node: made by its device calls or by clients, read by whoever has the right, freed with their run.

Called by device threads (`call_memory.py`) and on the event loop (`transport/memory_*.py`), so all of it is thread-safe. Bytes
are copied outside the lock. What was freed is gone for new readers; those that have it mapped keep it until they let go.
"""

from __future__ import annotations

import math
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from protos import fractos_pb2
from Services.fractos.capability import EVERY_RIGHT, Rights
from Services.fractos.errors import (
    FailedPreconditionError,
    FractosError,
    MemoryLostError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
)
from Services.fractos.memory_block import SEALED, Block, Buffer, MemoryPart, SealedFile, check_handed_over, new_block
from Services.fractos.memory_bytes import buffers, check_range, digest_of, flat
from Services.fractos.memory_draft import Draft
from Services.fractos.memory_pool import BlockPool
from Services.fractos.memory_room import RETRY_AFTER_S, Age, MemoryRoom

OBJECTS = 4096  # a descriptor each, or two: Python before 3.13 keeps another for a mapping
REMEMBERED = 10_000  # objects that were taken from their runs

Check = Callable[[fractos_pb2.Memory, Rights, float], None]
Issue = Callable[[bytes, int, Rights, float], fractos_pb2.Capability]


@dataclass
class _Object:
    number: bytes
    block: Block
    expires_at: float
    run_id: bytes  # empty: a client's
    published: bool = False
    writers: int = 0  # threads that write just now
    freed: bool = False


class MemoryStore:
    """The Memory objects of one node."""

    def __init__(
        self,
        address: str,
        limit_bytes: int,
        *,
        check: Check,
        issue: Issue,
        randomness: Callable[[int], bytes],
        clock: Callable[[], float],
        limit_objects: int = OBJECTS,
        make_block: Callable[[int], Block] = new_block,
        pool: BlockPool | None = None,
        name: str = "",
    ) -> None:
        """`address` is this node's, host:port, `name` what errors call it. `pool` is where device calls' blocks come from.

        `check(memory, right, now)` raises PermissionDeniedError. `issue(object, size, rights, expires_at)` makes the capability
        of a new object. `randomness(n)` returns n random bytes.
        """
        self.address = address
        self._name = f"{name} ({address})" if name else address
        self._check = check
        self._issue = issue
        self._randomness = randomness
        self._clock = clock
        self._make_block = make_block
        self._pool = pool
        self.limit_bytes = limit_bytes
        self._lock = Lock()
        self._room = MemoryRoom(self._name, limit_bytes, limit_objects)
        self._objects: dict[bytes, _Object] = {}
        self._taken: OrderedDict[bytes, float] = OrderedDict()  # and when they would have expired

    # -- for device calls -------------------------------------------------------------------------------------------------

    def publish(
        self, data: Buffer | Sequence[Buffer], *, run_id: bytes, began_at: float, expires_at: float
    ) -> fractos_pb2.Memory:
        """Keep bytes for a run, until it is freed or has expired. Several buffers become one object.

        Returns a Memory with the right to read. Raises ResourceExhaustedError.
        """
        parts = [flat(one) for one in buffers(data)]
        made = self._add(sum(map(len, parts)), (began_at, run_id), expires_at)
        try:
            offset = 0
            for part in parts:
                self.write(made.number, offset, part)
                offset += len(part)
            return self._publish(made, digest_of(parts))
        except BaseException:
            self.free(made.number)
            raise

    def allocate(self, size: int, *, run_id: bytes, began_at: float, expires_at: float) -> Draft:
        """Make room for bytes that a device then fills in: all of them, since anything may be there.

        Raises ResourceExhaustedError.
        """
        made = self._add(size, (began_at, run_id), expires_at)
        try:
            with self._writing(made.number):
                return Draft(made.block, lambda: self._publish_draft(made), lambda: self.free(made.number))
        except BaseException:
            self.free(made.number)
            raise

    def free_runs(self, run_ids: Iterable[bytes]) -> None:
        """Free all that is kept for these runs, drafts as well."""
        with self._lock:
            for run_id in run_ids:
                for number in self._room.objects_of(run_id):
                    self._remove(number)

    # -- for clients ------------------------------------------------------------------------------------------------------

    def create(self, size: int, expires_at: float) -> fractos_pb2.Memory:
        """Make an object that is not published yet. Returns a Memory with every right. Raises ResourceExhaustedError."""
        made = self._add(size, None, expires_at)
        return self._memory(made, EVERY_RIGHT)

    def adopt(self, descriptor: int, size: int, expires_at: float) -> fractos_pb2.Memory:
        """Make an object of a client's sealed memfd, without a copy. Returns a Memory with every right.

        The descriptor stays the caller's. Raises InvalidArgumentError for another kind of file, ResourceExhaustedError.
        """
        check_handed_over(descriptor, size)
        made = self._add(size, None, expires_at, descriptor)
        made.published = True
        return self._memory(made, EVERY_RIGHT)

    def write(self, number: bytes, offset: int, data: Buffer) -> None:
        """Write into an object, whoever asks. Raises OutOfRangeError, FailedPreconditionError if it is published."""
        given = flat(data)
        with self._writing(number) as block:
            check_range(offset, len(given), block.size)
            block.write(offset, given)

    def check_writable(self, memory: fractos_pb2.Memory, now: float) -> None:
        """See that the holder may write into the part, and that this is possible.

        Raises PermissionDeniedError, OutOfRangeError, FailedPreconditionError if the object is published.
        """
        self._allow(memory, Rights.WRITE, now)
        with self._writing(memory.object) as block:
            check_range(memory.offset, memory.size, block.size)

    def publish_object(self, memory: fractos_pb2.Memory, now: float) -> fractos_pb2.Memory:
        """From now on the object can be read and not written. Takes a second for some 10 GB. May be repeated.

        Returns the same Memory with its digest. Raises PermissionDeniedError without the right to write all of it: whoever was
        given a part must not end the others' writing.
        """
        self._allow(memory, Rights.WRITE, now)
        with self._lock:
            known = self._known(memory.object)
            if (memory.offset, memory.size) != (0, known.block.size):
                raise PermissionDeniedError(
                    f"only who may write all of a Memory can publish it: name all of its {known.block.size} bytes"
                )
            self._seal(known)
            part = known.block.part(memory.offset, memory.size)
        published = fractos_pb2.Memory()
        published.CopyFrom(memory)
        with part.view() as view:
            published.digest = digest_of([view.buffer])
        return published

    def release(self, memory: fractos_pb2.Memory, now: float) -> None:
        """Free the object. Raises PermissionDeniedError without the right to release it."""
        self._allow(memory, Rights.RELEASE, now)
        with self._lock:
            self._known(memory.object)
            self._remove(memory.object)

    # -- for readers ------------------------------------------------------------------------------------------------------

    def open(self, memory: fractos_pb2.Memory, now: float) -> MemoryPart:
        """The part that a Memory refers to, if its capability allows to read it. The caller closes it.

        Raises PermissionDeniedError, NotFoundError, ResourceExhaustedError if the object was given to an older run,
        FailedPreconditionError if it is not published, OutOfRangeError.
        """
        self._allow(memory, Rights.READ, now)
        with self._lock:
            known = self._known(memory.object)
            if not known.published:
                raise FailedPreconditionError(f"the Memory at {self._name} is not published yet: publish it, then read it")
            check_range(memory.offset, memory.size, known.block.size)
            return known.block.part(memory.offset, memory.size)

    def may_read_all(self, memory: fractos_pb2.Memory, now: float) -> bool:
        """Whether the capability of a part allows to read every byte of its object: who gets a descriptor can."""
        with self._lock:
            whole = self._known(memory.object).block.size
        if (memory.offset, memory.size) == (0, whole):
            return True
        asked = fractos_pb2.Memory(object=memory.object, size=whole, capability=memory.capability)
        try:
            self._check(asked, Rights.READ, now)
        except PermissionDeniedError:
            return False
        return True

    # -- housekeeping -----------------------------------------------------------------------------------------------------

    def free(self, number: bytes) -> None:
        """Free an object, if it is still there."""
        with self._lock:
            if number in self._objects:
                self._remove(number)

    def expire(self, now: float) -> None:
        """Free what has expired."""
        with self._lock:
            for known in [one for one in self._objects.values() if one.expires_at <= now]:
                self._remove(known.number)
            for number in [number for number, expires_at in self._taken.items() if expires_at <= now]:
                del self._taken[number]

    @property
    def next_due(self) -> float:
        """When the next one expires, in Unix seconds; infinite if nothing will."""
        with self._lock:
            return min((*(one.expires_at for one in self._objects.values()), *self._taken.values()), default=math.inf)

    @property
    def used_bytes(self) -> int:
        """How many bytes all objects have, those being written included."""
        return self._room.used_bytes

    @property
    def kept_bytes(self) -> int:
        """How many bytes the blocks have that wait to be used again."""
        return self._pool.used_bytes if self._pool is not None else 0

    @property
    def is_crowded(self) -> bool:
        """Whether half of the objects that there may be are there."""
        return self._room.is_crowded

    @property
    def objects(self) -> int:
        """How many objects there are."""
        return len(self._objects)

    def trim(self) -> None:
        """Give the system back the blocks that were not used again for a minute. 1 ms for some 8 MiB."""
        with self._lock:
            dropped = self._pool.trim() if self._pool is not None else []
        _close_all(dropped)

    def close(self) -> None:
        """Free everything."""
        with self._lock:
            for number in list(self._objects):
                self._remove(number)
            self._taken.clear()
            if self._pool is not None:
                _close_all(self._pool.shrink(0))

    def _allow(self, memory: fractos_pb2.Memory, right: Rights, now: float) -> None:
        """Before anything is looked up: whoever has no right learns nothing."""
        if memory.owner != self.address:
            raise MemoryLostError(f"the Memory is at {memory.owner!r}, and this is {self.address}", definite=False)
        self._check(memory, right, now)

    def _add(self, size: int, age: Age | None, expires_at: float, descriptor: int = -1) -> _Object:
        number = self._randomness(16)
        run_id = age[1] if age is not None else b""
        with self._lock:
            for taken in self._room.make(size, age):
                self._take(taken)
            try:
                block = self._block(size, age) if descriptor < 0 else SealedFile(size, os.dup(descriptor))
                made = _Object(number, block, expires_at, run_id)
            except OSError as error:
                raise self._no_room(size, error) from error
            self._objects[number] = made
            self._room.add(number, size, age)
        if descriptor < 0:
            self._prepare(made)
        return made

    def _block(self, size: int, age: Age | None) -> Block:
        """A new block for a client, perhaps one that was used before for a device call."""
        if self._pool is None:
            return self._make_block(size)
        block = self._pool.take(size) if age is not None else self._make_block(size)
        _close_all(self._pool.shrink(self.limit_bytes - self._room.used_bytes - size))
        return block

    def _prepare(self, made: _Object) -> None:
        """Outside the lock, since it may take a millisecond for every 4 MiB."""
        try:
            with self._writing(made.number) as block:
                block.prepare()
        except OSError as error:
            self.free(made.number)
            raise self._no_room(made.block.size, error) from error

    def _no_room(self, size: int, error: OSError) -> ResourceExhaustedError:
        return ResourceExhaustedError(
            f"{self._name} gets no room for a Memory of {size} bytes from its system: {error}", retry_after_s=RETRY_AFTER_S
        )

    def _take(self, number: bytes) -> None:
        self._taken[number] = self._objects[number].expires_at
        if len(self._taken) > REMEMBERED:
            self._taken.popitem(last=False)
        self._remove(number)

    def _remove(self, number: bytes) -> None:
        known = self._objects.pop(number)
        self._room.remove(number, known.run_id)
        known.freed = True
        if not known.writers:
            self._let_go(known)

    def _let_go(self, known: _Object) -> None:
        """Of the block of an object that was freed. Whether anybody still sees it shows when it is to be used again."""
        if self._pool is not None and known.run_id:
            _close_all(self._pool.put(known.block))
        else:
            known.block.close()

    def _known(self, number: bytes) -> _Object:
        known = self._objects.get(number)
        if known is None:
            raise self._unknown(number)
        return known

    def _unknown(self, number: bytes) -> FractosError:
        if number in self._taken:
            return ResourceExhaustedError(
                f"the Memory at {self._name} was given to an older run, since there was no more room; run this one again, or"
                " raise limit_mb in [Memory] of data_center_setup.cfg",
                retry_after_s=RETRY_AFTER_S,
            )
        return NotFoundError(f"no such Memory at {self._name}: it was released, it has expired, or its run is over")

    @contextmanager
    def _writing(self, number: bytes) -> Iterator[Block]:
        """Keep the block open while this thread writes into it, even if the object is freed meanwhile."""
        with self._lock:
            known = self._known(number)
            if known.published:
                raise FailedPreconditionError(SEALED)
            known.writers += 1
        try:
            yield known.block
        finally:
            with self._lock:
                known.writers -= 1
                if known.freed and not known.writers:
                    self._let_go(known)

    def _publish(self, made: _Object, digest: bytes) -> fractos_pb2.Memory:
        memory = self._memory(made, Rights.READ)
        memory.digest = digest
        with self._lock:
            self._seal(self._known(made.number))
        return memory

    def _publish_draft(self, made: _Object) -> fractos_pb2.Memory:
        """The device has ended to write; that the block is not used for others meanwhile is what `_writing` sees to."""
        with self._writing(made.number) as block, block.view() as view:
            digest = digest_of([view.buffer])
        return self._publish(made, digest)

    def _seal(self, known: _Object) -> None:
        if known.published:
            return
        if known.writers:
            raise FailedPreconditionError("the Memory is being written just now: publish it when that is done")
        known.block.seal()
        known.published = True

    def _memory(self, made: _Object, rights: Rights) -> fractos_pb2.Memory:
        size = made.block.size
        capability = self._issue(made.number, size, rights, made.expires_at)
        return fractos_pb2.Memory(owner=self.address, object=made.number, size=size, capability=capability)


def _close_all(blocks: Iterable[Block]) -> None:
    for block in blocks:
        block.close()
