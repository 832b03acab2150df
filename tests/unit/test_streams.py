"""What waits for a stream: when it is written, together with what, and how that ends."""

from __future__ import annotations

import asyncio

import pytest

from Services.fractos.transport.streams import BATCH_BYTES, BATCH_MESSAGES, Outbox, Work


class Stream:
    """Takes batches, each until it is told to go on."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.written: asyncio.Future[None]

    async def write(self, batch: list[bytes]) -> None:
        """Take a batch and wait."""
        self.batches.append(batch)
        self.written = asyncio.get_running_loop().create_future()
        await self.written


@pytest.fixture
def outbox() -> Outbox[bytes]:
    """An empty one."""
    return Outbox(len)


async def turn() -> None:
    """Let what is due happen."""
    for _ in range(3):
        await asyncio.sleep(0)


def test_the_first_message_is_written_at_once_and_the_next_ones_together(outbox: Outbox[bytes]) -> None:
    async def main() -> None:
        stream = Stream()
        outbox.put(b"1")
        outbox.flush()
        assert stream.batches == []  # it is not open
        outbox.open(stream.write)
        assert stream.batches == [[b"1"]]
        outbox.put(b"2")
        outbox.put(b"3")
        outbox.flush()
        assert stream.batches == [[b"1"]]
        stream.written.set_result(None)
        await turn()
        assert stream.batches == [[b"1"], [b"2", b"3"]]
        stream.written.set_result(None)
        await turn()
        outbox.put(b"4")
        outbox.flush()
        assert stream.batches[2:] == [[b"4"]]

    asyncio.run(main())


def test_batches_are_bounded(outbox: Outbox[bytes]) -> None:
    async def main() -> None:
        stream = Stream()
        large = bytes(BATCH_BYTES)
        for message in (large, b"2", *[b"3"] * (BATCH_MESSAGES + 1)):
            outbox.put(message)
        outbox.open(stream.write)
        while len(outbox):
            stream.written.set_result(None)
            await turn()
        assert [len(batch) for batch in stream.batches] == [1, BATCH_MESSAGES, 2]

    asyncio.run(main())


@pytest.mark.parametrize("error", [asyncio.InvalidStateError(), asyncio.CancelledError()], ids=["finished", "cancelled"])
def test_a_broken_stream_is_written_no_more_and_what_waits_is_kept(outbox: Outbox[bytes], error: BaseException) -> None:
    async def main() -> None:
        stream = Stream()
        outbox.open(stream.write)
        for message in (b"1", b"2"):
            outbox.put(message)
            outbox.flush()
        stream.written.set_exception(error)
        await turn()
        outbox.flush()
        assert stream.batches == [[b"1"]]
        assert outbox.clear() == [b"2"]

    asyncio.run(main())


def test_a_beat_is_an_empty_batch_and_only_where_nothing_is_being_written(outbox: Outbox[bytes]) -> None:
    async def main() -> None:
        stream = Stream()
        outbox.beat()
        assert stream.batches == []  # it is not open
        outbox.open(stream.write)
        outbox.beat()
        assert stream.batches == [[]]
        outbox.beat()
        outbox.put(b"1")
        outbox.flush()
        stream.written.set_result(None)
        await turn()
        assert stream.batches == [[], [b"1"]]
        outbox.beat()
        stream.written.set_result(None)
        await turn()
        assert stream.batches == [[], [b"1"]]

    asyncio.run(main())


def test_closing_waits_for_the_write_under_way_and_begins_no_other(outbox: Outbox[bytes]) -> None:
    async def main() -> None:
        stream = Stream()
        outbox.open(stream.write)
        for message in (b"1", b"2"):
            outbox.put(message)
            outbox.flush()
        closing = asyncio.create_task(outbox.close())
        await turn()
        assert not closing.done()
        stream.written.set_result(None)
        await asyncio.wait_for(closing, 5)
        assert stream.batches == [[b"1"]]

    asyncio.run(main())


def test_work_that_is_cancelled_ends_where_it_waits() -> None:
    async def main() -> None:
        steps = []
        future = asyncio.get_running_loop().create_future()

        async def steps_around_a_wait() -> None:
            try:
                steps.append("begun")
                await future
                steps.append("went on")
            finally:
                steps.append("cleaned up")

        work = Work(steps_around_a_wait())
        assert steps == ["begun"]
        waiting = asyncio.create_task(work.wait())
        await turn()
        work.cancel()
        future.set_result(None)
        await asyncio.wait_for(waiting, 5)
        assert work.done
        assert steps == ["begun", "cleaned up"]

    asyncio.run(main())


def test_what_work_raises_ends_it_and_is_not_swallowed() -> None:
    async def fail() -> None:
        raise ValueError("a defect")

    async def main() -> None:
        with pytest.raises(ValueError, match="a defect"):
            Work(fail())

    asyncio.run(main())
