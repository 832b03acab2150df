"""Which message of a run was for which step, from what each node has counted. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from protos import application_pb2, fractos_pb2
from Services.datacenter.tracing.parts import Message, MessageKind, Step


def deliverer(step: Step, steps: Mapping[int, Step], topology: str) -> Step | None:
    """The step whose output came last of those that a step waited for: it decided when this one could begin.

    In a ring that is the one that sent it, by whose clock `sent_at` is; else it is the one that was done last.
    """
    done = [one for needed in step.needs if (one := steps[needed]).hop is not None]
    if not done:
        return None
    if topology == "ring" and step.hop is not None:
        sent_at = step.hop.sent_at
        earlier = [one for one in done if one.finished_at <= sent_at]
        done = earlier or done
    return max(done, key=lambda one: one.finished_at)


def read_messages(result: application_pb2.RunResult, steps: Mapping[int, Step], topology: str) -> tuple[Message, ...]:
    """What came over the network in the last attempt, in the order of the steps."""
    found: list[Message] = []
    for hop in result.trail:
        found += _to_step(hop, steps, topology, result.attempt)
    found += _to_home(result, steps)
    return tuple(found)


def _to_step(hop: fractos_pb2.Hop, steps: Mapping[int, Step], topology: str, attempt: int) -> Iterator[Message]:
    step = steps[hop.step]
    last = deliverer(step, steps, topology)
    senders = [one for needed in step.needs if (one := steps[needed]).hop is not None]
    is_of_attempt = hop.attempt == attempt  # else its times are those of an earlier one
    for arrival in hop.arrivals:
        if not arrival.frame_bytes:
            fetched = (hop.received_at, hop.started_at) if is_of_attempt else (None, None)
            yield Message("memory", arrival.source, hop.node, arrival.value_bytes, None, step.id, *fetched)
            continue
        sender = next((one for one in senders if one.node == arrival.source), None)
        if sender is not None:
            senders.remove(sender)
        sent_at: float | None = None
        received_at: float | None = None
        if is_of_attempt and (sender is None or sender is last):
            sent_at, received_at = hop.sent_at, max(hop.sent_at, hop.received_at)
        elif is_of_attempt and sender is not None and sender.hop is not None and sender.hop.attempt == attempt:
            sent_at = sender.hop.finished_at
        from_step = sender.id if sender is not None else None
        yield Message("request", arrival.source, hop.node, arrival.frame_bytes, from_step, step.id, sent_at, received_at)


def _to_home(result: application_pb2.RunResult, steps: Mapping[int, Step]) -> Iterator[Message]:
    """What came back to the application node: replies of stars, and last steps."""
    done = sorted((step for step in steps.values() if step.hop is not None), key=lambda step: step.finished_at)
    replying = [step for step in done if step.edges]
    ending = [step for step in done if step.output or not step.edges]
    for arrival in result.arrivals:
        if not arrival.frame_bytes:
            yield Message("memory", arrival.source, result.home, arrival.value_bytes, None, None, None, None)
            continue
        candidates = replying if arrival.reply else ending
        sender = next((step for step in candidates if step.node == arrival.source), None)
        if sender is not None:
            candidates.remove(sender)
        known = sender is not None and sender.hop is not None and sender.hop.attempt == result.attempt
        sent_at = sender.finished_at if known and sender is not None else None
        is_last = not arrival.reply and sender is not None and not ending
        received_at = max(sent_at, result.ended_at) if is_last and sent_at is not None else None
        kind: MessageKind = "reply" if arrival.reply else "completion"
        from_step = sender.id if sender is not None else None
        yield Message(kind, arrival.source, result.home, arrival.frame_bytes, from_step, None, sent_at, received_at)
