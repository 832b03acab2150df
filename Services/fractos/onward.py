"""What follows a step that is done: its outputs go into the arguments of the next ones, and these go to their nodes. Pure."""

from __future__ import annotations

from collections.abc import Callable

from protos import fractos_pb2
from Services.fractos.delivery import Outputs, bind, reply_of
from Services.fractos.errors import ResourceExhaustedError, UnavailableError
from Services.fractos.events import Effect, SendFrame
from Services.fractos.operations import Catalogue
from Services.fractos.placement import Identity, Placement
from Services.fractos.plan import MAX_MESSAGE_BYTES, MAX_VALUE_BYTES, continuation
from Services.fractos.reports import Reports


class Onward:
    """Sends runs on from one node."""

    def __init__(
        self,
        identity: Identity,
        catalogue: Catalogue,
        placement: Placement,
        reports: Reports,
        emit: Callable[[Effect], None],
        take_here: Callable[[fractos_pb2.Frame, float], None],
    ) -> None:
        """`take_here` takes the Requests that are for this very node."""
        self._identity = identity
        self._catalogue = catalogue
        self._placement = placement
        self._reports = reports
        self._emit = emit
        self._take_here = take_here

    def pass_on(self, frame: fractos_pb2.Frame, outputs: Outputs, now: float) -> None:
        """Report the step of a Request that is done, if it is to be reported, and send the next ones on their way."""
        request = frame.request
        step = request.steps[0]
        edges = step.edges
        if step.reply:
            self._reports.complete(request, output=outputs.whole, reply=reply_of(step, outputs))
            return
        if step.output or not edges:
            self._reports.complete(request, output=outputs.whole)
        if len(edges) == 1:
            # Whatever follows depends on this one next step, so the frame can go on as it is.
            del request.steps[0]
            self._go_on(frame, step.id, edges[0], outputs, now)
            return
        for edge in edges:
            onward = fractos_pb2.Request(
                run_id=request.run_id,
                attempt=request.attempt,
                deadline=request.deadline,
                home=request.home,
                steps=continuation(request.steps, edge.to),
                trail=request.trail,
                began_at=request.began_at,
                traceparent=request.traceparent,
            )
            self._go_on(fractos_pb2.Frame(request=onward), step.id, edge, outputs, now)

    def route(self, frame: fractos_pb2.Frame, step: fractos_pb2.Step, now: float, *, trusted_only: bool = False) -> None:
        """Send a Request to a node that its first step may go to; with `trusted_only` not to one that seems dead."""
        try:
            member = self._placement.choose(step, now, trusted_only=trusted_only)
        except UnavailableError as error:
            self._reports.lose(frame.request, error)
            return
        if member.address == self._identity.address:
            frame.request.ClearField("arrival")  # it does not travel
            self._take_here(frame, now)
        else:
            self._emit(SendFrame(member.address, frame))

    def _go_on(self, frame: fractos_pb2.Frame, sender: int, edge: fractos_pb2.Edge, outputs: Outputs, now: float) -> None:
        """Send a step on its way: the first of the Request."""
        request = frame.request
        step = request.steps[0]
        bound, beside, value_bytes = bind(self._catalogue, step, edge, outputs)
        request.sender = sender
        request.bound = bound
        if beside or request.memories:
            del request.memories[:]
            request.memories.extend(beside)
        request.ClearField("arrival")  # that of the Request that came
        request.arrival.value_bytes = value_bytes
        request.sent_at = now
        if len(bound) > MAX_MESSAGE_BYTES:
            text = f"the arguments from step {sender} have {len(bound)} bytes; the limit is {MAX_VALUE_BYTES} (64 MiB)"
            self._reports.fail(request, ResourceExhaustedError(text))
            return
        self.route(frame, step, now)
