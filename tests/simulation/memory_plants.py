"""Defects around Memory and capabilities, planted like those of `plants.py`, which lists them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from protos import fractos_pb2
from Services.fractos.engine import Engine
from Services.fractos.errors import MemoryLostError, UnavailableError
from Services.fractos.events import DeviceDone, Effect, FreeMemory


def replaced(owner: object, name: str, new: Callable[..., Any]) -> None:
    """Have `new` called instead of a method, with that method before the arguments."""
    setattr(owner, name, partial(new, getattr(owner, name)))


def skip_the_capability_check(engine: Engine) -> None:
    assert engine.guard is not None
    engine.guard.check_call = lambda *arguments: ()  # type: ignore[method-assign]


def check_before_the_merge(engine: Engine) -> None:
    """Look at what the client has put into a step, and not at what other steps have bound."""
    guard = engine.guard
    assert guard is not None
    own: list[bytes] = []

    def begin(original: Callable[..., None], frame: fractos_pb2.Frame, *rest: Any) -> None:
        own[:] = [frame.request.steps[0].arguments]
        original(frame, *rest)

    def check_call(original: Callable[..., Any], capability: Any, operation: Any, request: Any, *rest: Any) -> Any:
        return original(capability, operation, operation.request_class.FromString(own[0]), *rest[:2])

    replaced(engine, "_begin", begin)
    replaced(guard, "check_call", check_call)


def ignore_revocations(engine: Engine) -> None:
    assert engine.guard is not None
    engine.guard.revoke = lambda revocations: None  # type: ignore[method-assign]


def let_anybody_read(engine: Engine) -> None:
    assert engine.guard is not None
    engine.guard.check_memory = lambda *arguments: None  # type: ignore[method-assign]


def free_no_memory(engine: Engine) -> None:
    def emit(original: Callable[..., None], effect: Effect) -> None:
        if not isinstance(effect, FreeMemory):
            original(effect)

    replaced(engine, "_emit", emit)


def forget_the_digest(engine: Engine) -> None:
    """Tell inputs from one another by where they are."""

    def on_device_done(original: Callable[..., None], event: DeviceDone, now: float) -> None:
        for argument in event.beside:
            argument.memory.ClearField("digest")
        for _, value in event.response.ListFields() if event.response is not None else ():
            if isinstance(value, fractos_pb2.BigInteger) and value.HasField("memory"):
                value.memory.ClearField("digest")
        original(event, now)

    engine._handlers[DeviceDone] = partial(on_device_done, engine._handlers[DeviceDone])


def fail_where_memory_is_lost(engine: Engine) -> None:
    def on_device_done(original: Callable[..., None], event: DeviceDone, now: float) -> None:
        if isinstance(event.error, MemoryLostError):
            event = event._replace(error=UnavailableError(event.error.message))
        original(event, now)

    engine._handlers[DeviceDone] = partial(on_device_done, engine._handlers[DeviceDone])


def remember_what_did_not_begin(engine: Engine) -> None:
    """Hold a step for begun whose Memory was lost before it could."""
    engine.ledger.forget = lambda run_id, step_id: None  # type: ignore[method-assign]


def keep_answers_of_ended_runs(engine: Engine) -> None:
    """Go on to answer for a run that has ended, with references to Memory that is freed."""
    ledger = engine.ledger
    with_memory: set[bytes] = set()

    def on_device_done(original: Callable[..., None], event: DeviceDone, now: float) -> None:
        if event.memory_bytes:
            with_memory.add(event.key.run_id)
        original(event, now)

    def finish(original: Callable[..., None], run_id: bytes, deadline: float) -> None:
        if run_id not in with_memory:
            original(run_id, deadline)

    engine._handlers[DeviceDone] = partial(on_device_done, engine._handlers[DeviceDone])
    replaced(ledger, "finish", finish)
