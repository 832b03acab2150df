"""The application node's part in a star: it sends each step alone, once everything that the step waits for has come back. Pure.

In a star large values come here too, since the next node is to get them from here; in a fast-star only references do. What has
come here stays until the run ends: a device of an earlier attempt may still be fetching it, and answers for the later one.
"""

from __future__ import annotations

from collections.abc import Callable

from protos import fractos_pb2
from Services.fractos.attempts import Attempts
from Services.fractos.delivery import Outputs, bind
from Services.fractos.errors import FractosError, MemoryLostError
from Services.fractos.events import BringMemory, Effect, MemoryBrought, WorkKey
from Services.fractos.large_values import part_of, references_made
from Services.fractos.operations import Catalogue
from Services.fractos.placement import Identity, Placement
from Services.fractos.run import Run
from Services.fractos.tally import memory_arrivals
from Services.fractos.topology import STAR

End = Callable[[Run, FractosError, float], None]


class Centre:
    """Passes on what the steps of stars reply."""

    def __init__(
        self,
        identity: Identity,
        catalogue: Catalogue,
        placement: Placement,
        attempts: Attempts,
        emit: Callable[[Effect], None],
        end: End,
    ) -> None:
        """`end` ends a run that cannot go on."""
        self._identity = identity
        self._catalogue = catalogue
        self._placement = placement
        self._attempts = attempts
        self._emit = emit
        self._end = end

    def take(self, run: Run, completion: fractos_pb2.Completion, now: float) -> None:
        """Take the reply of a step that the present attempt of a run awaits."""
        step = run.plan.steps[completion.step]
        run.gathered.replied.add(step.id)
        operation = self._catalogue.get(step.operation)
        assert operation is not None  # the plan was checked
        reply = completion.reply
        outputs = Outputs(operation.response_class.FromString(reply.response), list(reply.memories), None)
        memories = references_made(operation, outputs.response, outputs.beside)
        elsewhere = [one for one in memories if one.owner != self._identity.address]
        if run.plan.topology != STAR or not elsewhere:
            self._pass_on(run, step, outputs, now)
            return
        if stranger := next((one.owner for one in elsewhere if not self._placement.is_known(one.owner)), ""):
            self._attempts.repeat_soon(run, f"{stranger}, where a value is Memory, is no node of this datacenter", now)
            return
        run.gathered.bringing[step.id] = outputs, elsewhere
        parts = list({part_of(one): one for one in elsewhere}.values())
        self._emit(BringMemory(WorkKey(run.run_id, run.attempt, step.id), parts, run.deadline, run.submitted_at))

    def on_memory_brought(self, run: Run, event: MemoryBrought, now: float) -> None:
        """Go on with a step whose values have come here, in the present attempt of a run."""
        outputs, memories = run.gathered.bringing.pop(event.key.step)
        if isinstance(event.error, MemoryLostError):
            self._attempts.repeat_soon(run, event.error.message, now)
        elif event.error is not None:
            self._end(run, event.error, now)
        else:
            run.arrivals += memory_arrivals(memories, self._identity.address, self._placement)
            copies = dict(zip({part_of(one): None for one in memories}, event.copies, strict=True))
            for memory in memories:
                memory.CopyFrom(copies[part_of(memory)])
            self._pass_on(run, run.plan.steps[event.key.step], outputs, now)

    def _pass_on(self, run: Run, step: fractos_pb2.Step, outputs: Outputs, now: float) -> None:
        for edge in step.edges:
            waiting = run.plan.steps[edge.to]
            bound = run.gathered.bound.setdefault(waiting.id, {})
            bound[step.id] = bind(self._catalogue, waiting, edge, outputs)
            if len(bound) == run.plan.needs[waiting.id] and run.result is None:
                del run.gathered.bound[waiting.id]
                self._attempts.send_step(run, waiting, bound, now)
