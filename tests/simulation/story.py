"""How the history of a simulation reads, message by message."""

from __future__ import annotations

from collections.abc import Callable

from protos import fractos_pb2
from Services.fractos.records import AttemptRecord, EndRecord, Entry, Inquiry

Name = Callable[[bytes], str]  # of a run, by its id


def described(frame: fractos_pb2.Frame, name: Name) -> str:
    """A frame in a few words."""
    match frame.WhichOneof("body"):
        case "request":
            request = frame.request
            step = request.steps[0]
            epoch = f", epoch {step.epoch}" if step.epoch else ""
            return f"request for step {step.id} of {name(request.run_id)}, {step.operation}, attempt {request.attempt}{epoch}"
        case "completion":
            return _completion(frame.completion, name)
        case _:
            runs = ", ".join(name(run.run_id) + (" (stopped)" if run.drop else "") for run in frame.finished.runs)
            return f"finished: {runs}"


def entry_described(entry: Entry, name: Name) -> str:
    """A record in a few words."""
    if isinstance(entry, EndRecord):
        return f"the end of {name(entry.run_id)}" + (", which failed" if entry.failed else "")
    if isinstance(entry, AttemptRecord):
        return f"attempt {entry.attempt} of {name(entry.run_id)}"
    if isinstance(entry, Inquiry):
        return f"nothing, but asks for {name(entry.run_id)}"
    return f"{name(entry.run_id)} is accepted"


def _completion(completion: fractos_pb2.Completion, name: Name) -> str:
    what = f"step {completion.step} of {name(completion.run_id)}, attempt {completion.attempt}"
    if completion.lost:
        return f"lost: {what}: {completion.failure.message}"
    if completion.HasField("failure"):
        return f"failed: {what}: {completion.failure.status} {completion.failure.message}"
    return f"completed: {what}"
