"""Submissions that wait for room: against an application node that refuses as a test says."""

from __future__ import annotations

import itertools
import signal
import threading
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from Services.fractos import connect
from Services.fractos.errors import DeadlineExceededError, ResourceExhaustedError, RunCancelledError, UnavailableError
from tests.service.scripted_application import ScriptedApplication, break_session, quick, refuse, scripted, succeed
from tests.waiting import until


def test_without_wait_a_refusal_is_an_error(tmp_path: Path) -> None:
    node = ScriptedApplication(refuse)
    with scripted(tmp_path, node) as root, connect(root) as datacenter:
        with pytest.raises(ResourceExhaustedError, match="no room") as caught:
            datacenter.run(quick())
        assert caught.value.retry_after_s > 0
    assert len(node.submissions) == 1


def test_with_wait_it_is_submitted_until_there_is_room(tmp_path: Path) -> None:
    refusals = iter(range(5))
    node = ScriptedApplication(lambda request: succeed(request) if next(refusals, None) is None else refuse(request))
    with scripted(tmp_path, node) as root, connect(root) as datacenter:
        result = datacenter.run(quick(), wait=True, timeout_s=20)
    assert {request.run_id.hex() for request in node.submissions} == {result.run_id}
    assert len(node.submissions) == 6
    timeouts = [request.timeout_s for request in node.submissions]
    assert timeouts[0] == 20
    assert timeouts[-1] < 20


def test_its_timeout_counts_from_the_first_submission(tmp_path: Path) -> None:
    node = ScriptedApplication(refuse)
    with scripted(tmp_path, node) as root, connect(root) as datacenter:
        with pytest.raises(DeadlineExceededError, match="no room") as caught:
            datacenter.run(quick(), wait=True, timeout_s=1)
        assert caught.value.definite
        node.answer = succeed
        datacenter.run(quick(), wait=True, timeout_s=20)


def test_it_can_be_cancelled_while_it_waits(tmp_path: Path) -> None:
    node = ScriptedApplication(refuse)
    with scripted(tmp_path, node) as root, connect(root) as datacenter:
        run = datacenter.submit(quick(), wait=True)
        until(lambda: len(node.submissions) >= 2)
        run.cancel()
        with pytest.raises(RunCancelledError) as caught:
            run.result()
        assert caught.value.definite


def test_an_interrupt_while_it_waits_cancels_it(tmp_path: Path) -> None:
    node = ScriptedApplication(refuse)
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        until(lambda: len(node.submissions) >= 2)
        signal.pthread_kill(main, signal.SIGINT)

    with scripted(tmp_path, node) as root, connect(root) as datacenter:
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            datacenter.run(quick(), wait=True)
        thread.join()
        known = len(node.submissions)
        node.answer = succeed
        result = datacenter.run(quick(), wait=True)
        assert [request.run_id.hex() for request in node.submissions[known:]] == [result.run_id]


def test_a_run_that_had_begun_is_not_begun_anew(tmp_path: Path) -> None:
    node = ScriptedApplication(partial(refuse, attempt=1))
    with scripted(tmp_path, node) as root, connect(root) as datacenter, pytest.raises(ResourceExhaustedError):
        datacenter.run(quick(), wait=True)
    assert len(node.submissions) == 1


def test_many_get_in_one_after_the_other(tmp_path: Path) -> None:
    asked = itertools.count(1)
    node = ScriptedApplication(lambda request: refuse(request) if next(asked) % 4 else succeed(request))
    with scripted(tmp_path, node) as root, connect(root) as datacenter:
        runs = [datacenter.submit(quick(), wait=True, timeout_s=60) for _ in range(20)]
        assert [run.result().run_id for run in runs] == [run.run_id for run in runs]
    assert len(node.submissions) == 80


def test_close_does_not_wait_for_room(tmp_path: Path) -> None:
    node = ScriptedApplication(refuse)
    with scripted(tmp_path, node) as root, connect(root) as datacenter:
        run = datacenter.submit(quick(), wait=True, timeout_s=3600)
        until(lambda: node.submissions)
        datacenter.close()
        with pytest.raises(UnavailableError, match="closed"):
            run.result()


def test_those_that_wait_outlive_the_session(tmp_path: Path) -> None:
    first, second = ScriptedApplication(refuse), ScriptedApplication()
    with scripted(tmp_path, first, second) as root, connect(root) as datacenter:
        runs = [datacenter.submit(quick(), wait=True) for _ in range(10)]
        until(lambda: len(first.submissions) >= 10)
        first.answer = break_session
        for run in runs:
            run.result()
    assert Counter(request.run_id for request in second.submissions) == dict.fromkeys(
        (request.run_id for request in second.submissions), 1
    )
