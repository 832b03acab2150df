"""The client of a chaos is let in for its time, and what the user has given a client of that name stays as it is."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from Services.datacenter.chaos.credentials import let_in
from Services.fractos.config import Configuration, load
from Services.fractos.credentials import client_file, issue_client, load_credentials
from Services.fractos.errors import FailedPreconditionError

CONFIGURATION = "[DataCenter]\n{more}\n[Controllers]\ncontroller_names = math_controller\n[math_controller]\n{node}\n"
NODE = "paths_to_controller = Services/ComputationalNodes/MathCompute/Math_Controller/math_controller.py"
MINUTE_S, HOUR_S = 60.0, 3600.0


def make(root: Path, more: str = "") -> Configuration:
    (root / "data_center_setup.cfg").write_text(CONFIGURATION.format(more=more, node=NODE))
    return load(root)


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    return make(tmp_path)


def files(configuration: Configuration) -> dict[str, bytes]:
    folder = configuration.clients_path
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def issue(configuration: Configuration, lasts_s: float) -> dict[str, bytes]:
    """As the user would, for a client of that name."""
    issue_client(configuration, "chaos", time.time() + lasts_s)
    return files(configuration)


def test_the_client_is_let_in_for_the_time_and_no_longer(configuration: Configuration) -> None:
    began = time.time()
    with let_in(configuration, MINUTE_S):
        credentials = load_credentials(configuration, "chaos")
        assert began + MINUTE_S < credentials.expires_at < time.time() + MINUTE_S + 2 * HOUR_S
        assert credentials.capabilities.keys() >= {"application", "storage", "math", "cnn"}
    assert files(configuration) == {}


def test_the_client_goes_also_when_the_chaos_fails(configuration: Configuration) -> None:
    with pytest.raises(KeyboardInterrupt), let_in(configuration, MINUTE_S):
        assert client_file(configuration, "chaos").exists()
        raise KeyboardInterrupt
    assert files(configuration) == {}


def test_the_users_own_client_is_used_and_stays(configuration: Configuration) -> None:
    before = issue(configuration, 3 * HOUR_S)
    with let_in(configuration, MINUTE_S):
        assert files(configuration) == before
    assert files(configuration) == before


def test_the_users_own_client_must_not_expire_meanwhile(configuration: Configuration) -> None:
    before = issue(configuration, HOUR_S)
    with pytest.raises(FailedPreconditionError, match="expire before this chaos would end"), let_in(configuration, MINUTE_S):
        pass
    assert files(configuration) == before


def test_what_a_killed_chaos_has_left_is_replaced(configuration: Configuration) -> None:
    with ExitStack() as killed:
        killed.enter_context(let_in(configuration, MINUTE_S))
        left = load_credentials(configuration, "chaos")
        with let_in(configuration, HOUR_S):
            assert load_credentials(configuration, "chaos").expires_at >= left.expires_at + HOUR_S - MINUTE_S
        assert files(configuration) == {}


def test_a_client_that_the_user_added_after_a_chaos_was_killed_stays(configuration: Configuration) -> None:
    with ExitStack() as killed:
        killed.enter_context(let_in(configuration, MINUTE_S))
        client_file(configuration, "chaos").unlink()
        issue(configuration, 3 * HOUR_S)
        mine = client_file(configuration, "chaos").read_bytes()
        with let_in(configuration, MINUTE_S):
            assert client_file(configuration, "chaos").read_bytes() == mine
        assert files(configuration) == {"chaos.json": mine}


def test_where_everybody_may_do_everything_nothing_is_issued(tmp_path: Path) -> None:
    configuration = make(tmp_path, "authorization = open")
    with let_in(configuration, MINUTE_S):
        assert files(configuration) == {}
