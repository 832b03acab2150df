"""The client when application nodes die, are silent or have to think: against scripted ones."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pytest

from protos import application_pb2
from Services.fractos import Datacenter, connect
from Services.fractos.directory.interface import DirectoryRecord
from Services.fractos.errors import RunCancelledError, UnavailableError
from tests.service.scripted_application import (
    BrokenSessionError,
    ScriptedApplication,
    break_session,
    never,
    quick,
    scripted,
    succeed,
)
from tests.waiting import TIMEOUT_S, until
from tests.zookeeper_server import ZooKeeperServer


def run_until_broken(datacenter: Datacenter, node: ScriptedApplication) -> None:
    """Have the node in use break the session over a run; another one does it."""
    taken = len(node.submissions)
    node.answer = break_session
    run = datacenter.submit(quick())
    until(lambda: len(node.submissions) > taken)
    run.result()
    node.answer = succeed


class TestResubmission:
    def test_what_is_unanswered_is_submitted_again_as_it_was(self, tmp_path: Path) -> None:
        taken = threading.Barrier(2)

        def break_after_three(request: application_pb2.SubmitRequest) -> None:
            if len(node.submissions) == 3:
                taken.wait(TIMEOUT_S)
                node.answer = succeed
                raise BrokenSessionError

        node = ScriptedApplication(break_after_three)
        with scripted(tmp_path, node) as root, connect(root) as datacenter:
            runs = [datacenter.submit(quick(), timeout_s=20 + number) for number in range(3)]
            taken.wait(TIMEOUT_S)
            for run in runs:
                assert run.result().run_id == run.run_id
        first, again = node.submissions[:3], node.submissions[3:]
        assert again == first
        assert node.sessions == 2

    def test_what_was_answered_is_not_submitted_again(self, tmp_path: Path) -> None:
        node = ScriptedApplication()
        with scripted(tmp_path, node) as root, connect(root) as datacenter:
            datacenter.run(quick())
            node.answer = break_session
            run = datacenter.submit(quick())
            until(lambda: len(node.submissions) == 2)
            node.answer = succeed
            run.result()
            answered = node.submissions[0].run_id
            assert Counter(request.run_id for request in node.submissions)[answered] == 1

    def test_the_next_application_node_is_used(self, tmp_path: Path) -> None:
        first, second = ScriptedApplication(break_session), ScriptedApplication()
        with scripted(tmp_path, first, second) as root, connect(root) as datacenter:
            run = datacenter.submit(quick())
            run.result()
            datacenter.run(quick())
        assert [len(node.submissions) for node in (first, second)] == [1, 2]
        assert second.submissions[0] == first.submissions[0]

    def test_a_submission_waits_for_an_application_node_and_is_given_the_time_that_is_left(self, tmp_path: Path) -> None:
        node = ScriptedApplication(break_session)
        with scripted(tmp_path, node) as root, connect(root) as datacenter:
            broken = datacenter.submit(quick(), timeout_s=20)
            node.refuses = True
            until(lambda: node.sessions > 2)
            late = datacenter.submit(quick(), timeout_s=20)
            until(lambda: node.sessions > 4)
            node.refuses, node.answer = False, succeed
            broken.result()
            late.result()
        *_, again, first = sorted(node.submissions, key=lambda request: request.run_id)
        assert again.timeout_s == 20
        assert 0 < first.timeout_s < 20

    def test_a_cancel_asked_for_meanwhile_follows_the_resubmission(self, tmp_path: Path) -> None:
        node = ScriptedApplication(break_session)
        with scripted(tmp_path, node) as root, connect(root) as datacenter:
            run = datacenter.submit(quick())
            node.refuses = True
            until(lambda: node.sessions > 1)
            run.cancel()
            node.refuses, node.answer = False, never
            until(lambda: node.requests[-1:] == ["cancel"])
            assert not run.done()
            assert node.requests[-2:] == ["submit", "cancel"]

    def test_a_run_that_was_never_sent_is_cancelled_at_once(self, tmp_path: Path) -> None:
        node = ScriptedApplication(break_session)
        with scripted(tmp_path, node) as root, connect(root) as datacenter:
            datacenter.submit(quick())
            node.refuses = True
            until(lambda: node.sessions > 2)
            run = datacenter.submit(quick())
            run.cancel()
            with pytest.raises(RunCancelledError) as caught:
                run.result()
            assert caught.value.definite
            assert caught.value.context.run_id == run.run_id

    def test_nobody_comes_back(self, tmp_path: Path) -> None:
        node = ScriptedApplication(break_session)
        with scripted(tmp_path, node) as root, connect(root) as datacenter:
            sent = datacenter.submit(quick(), timeout_s=0.5)
            node.refuses = True
            until(lambda: node.sessions > 2)
            unsent = datacenter.submit(quick(), timeout_s=0.5)
            for run in (unsent, sent):
                with pytest.raises(UnavailableError, match=r"lost the application node.*tried \d+ times.*a standby") as caught:
                    run.result()
                assert caught.value.definite is (run is unsent)
                assert caught.value.context.run_id == run.run_id
            tried = node.sessions
            node.refuses, node.answer = False, succeed
            datacenter.run(quick())
            assert node.sessions > tried

    def test_a_lost_directory_makes_no_application_node_dead(
        self, tmp_path: Path, own_zookeeper_server: ZooKeeperServer
    ) -> None:
        node = ScriptedApplication(break_session)
        record = DirectoryRecord("zookeeper", own_zookeeper_server.address, "test")
        with scripted(tmp_path, node, record=record) as root, connect(root) as datacenter:
            own_zookeeper_server.kill()
            run = datacenter.submit(quick(), timeout_s=20)
            until(lambda: node.submissions)
            node.answer = succeed
            run.result()
            own_zookeeper_server.start()  # so that the node can be taken out of the directory

    def test_close_ends_all_at_once(self, tmp_path: Path) -> None:
        node = ScriptedApplication(break_session)
        with scripted(tmp_path, node) as root, connect(root) as datacenter:
            sent = datacenter.submit(quick(), timeout_s=3600)
            node.refuses = True
            until(lambda: node.sessions > 2)
            unsent = datacenter.submit(quick(), timeout_s=3600)
            datacenter.close()
            assert sent.done()
            assert unsent.done()
            for run in (sent, unsent):
                with pytest.raises(UnavailableError, match="closed") as caught:
                    run.result()
                assert caught.value.definite is (run is unsent)
            tried = node.sessions
            with pytest.raises(UnavailableError, match="connect\\(\\) again"):
                datacenter.submit(quick())
        assert node.sessions == tried


class TestSilence:
    def test_a_silent_node_is_left(self, tmp_path: Path) -> None:
        silent, other = ScriptedApplication(never), ScriptedApplication()
        silent.answers_beats = False
        with scripted(tmp_path, silent, other) as root, connect(root) as datacenter:
            assert datacenter.run(quick(), timeout_s=20)
        assert silent.beats >= 2
        assert silent.submissions == other.submissions

    def test_one_that_answers_heartbeats_may_take_its_time(self, tmp_path: Path) -> None:
        node = ScriptedApplication(never)
        with scripted(tmp_path, node) as root, connect(root) as datacenter:
            run = datacenter.submit(quick())
            until(lambda: node.beats >= 8)  # 4 s: longer than it may be silent
            node.late.append(succeed(node.submissions[0]))
            run.result()
            assert node.sessions == 1

    def test_nothing_is_asked_of_a_node_that_owes_nothing(self, tmp_path: Path) -> None:
        idle, busy = ScriptedApplication(), ScriptedApplication(never)
        (tmp_path / "idle").mkdir()
        (tmp_path / "busy").mkdir()
        with scripted(tmp_path / "idle", idle) as one, scripted(tmp_path / "busy", busy) as two:
            with connect(one) as unused, connect(two) as datacenter:
                unused.run(quick())
                datacenter.submit(quick())
                until(lambda: busy.beats >= 3)
            assert idle.beats == 0


class TestChoice:
    def test_a_standby_is_passed_over(self, tmp_path: Path) -> None:
        standby, serving = ScriptedApplication(), ScriptedApplication()
        standby.refuses = True
        with scripted(tmp_path, standby, serving) as root, connect(root) as datacenter:
            datacenter.run(quick())
        assert [len(node.submissions) for node in (standby, serving)] == [0, 1]

    def test_the_leader_is_used_though_others_answer_too(self, tmp_path: Path) -> None:
        nodes = [ScriptedApplication() for _ in range(3)]
        with scripted(tmp_path, *nodes) as root, connect(root) as datacenter:
            datacenter.run(quick())
        assert [len(node.submissions) for node in nodes] == [1, 0, 0]

    def test_an_undecided_node_does_not_hold_up_the_next_one_and_is_not_held_to_have_failed(self, tmp_path: Path) -> None:
        undecided, serving, third = (ScriptedApplication() for _ in range(3))
        undecided.serves.clear()
        with scripted(tmp_path, undecided, serving, third) as root, connect(root) as datacenter:
            undecided.serves.set()
            run_until_broken(datacenter, serving)
        assert [len(node.submissions) for node in (undecided, serving, third)] == [1, 1, 0]

    def test_an_undecided_node_is_given_time(self, tmp_path: Path) -> None:
        node = ScriptedApplication()
        node.serves.clear()
        threading.Timer(3.0, node.serves.set).start()  # longer than one out of reach is given
        with scripted(tmp_path, node) as root, connect(root) as datacenter:
            datacenter.run(quick())
        assert node.sessions == 1

    def test_the_one_that_broke_is_tried_last(self, tmp_path: Path) -> None:
        first, second, third = (ScriptedApplication() for _ in range(3))
        with scripted(tmp_path, first, second, third) as root, connect(root) as datacenter:
            for node in (first, second, third, first):
                run_until_broken(datacenter, node)
        assert [len(node.submissions) for node in (first, second, third)] == [3, 3, 2]

    def test_connecting_to_nobody_says_what_each_one_answered(self, tmp_path: Path) -> None:
        nodes = [ScriptedApplication() for _ in range(2)]
        for node in nodes:
            node.refuses = True
        says = r"no application node of datacenter 'test' answers \(application-0: .*a standby; application-1: .*a standby\)"
        with scripted(tmp_path, *nodes) as root, pytest.raises(UnavailableError, match=says):
            connect(root)
