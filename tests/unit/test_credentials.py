"""The files of clients: what they allow, who can read them, and what is said of one that cannot be used."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protos import fractos_pb2, math_pb2, storage_pb2
from Services.fractos.capability import verify
from Services.fractos.config import Configuration, load
from Services.fractos.credentials import (
    MAX_NAME_BYTES,
    Credentials,
    client_file,
    complete_client,
    issue_client,
    list_clients,
    load_credentials,
    remove_client,
)
from Services.fractos.errors import (
    AlreadyExistsError,
    ConfigurationError,
    FractosError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
)
from Services.fractos.keys import load_or_make_key
from Services.StorageNode.Node.names import folder_of
from tests.unit.derivations import CATALOGUE, operation

NOW = 1000.0
EXPIRES_AT = 2000.0


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    (tmp_path / "data_center_setup.cfg").write_text(
        "[DataCenter]\n[Controllers]\ncontroller_names = math_controller\n[math_controller]\npaths_to_controller = node.py\n"
    )
    (tmp_path / "node.py").touch()
    return load(tmp_path)


@pytest.fixture
def everything_readable() -> Iterator[None]:
    """What a program makes can be read and written by all, unless it says otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


def issue(configuration: Configuration, name: str = "ann") -> Credentials:
    return issue_client(configuration, name, EXPIRES_AT, lambda: NOW)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestIssue:
    def test_a_client_gets_every_service_for_itself_alone(self, configuration: Configuration) -> None:
        credentials = issue(configuration)
        assert set(credentials.capabilities) == {*CATALOGUE.node_types, "application"}
        for service, capability in credentials.capabilities.items():
            grant = verify(load_or_make_key(configuration.keys_path, service), capability)
            assert (grant.service, grant.client_ids, grant.expires_at) == (service, ("ann",), EXPIRES_AT)
            assert (grant.operations, grant.nodes, grant.settings) == ((), (), ())
        storage = verify(load_or_make_key(configuration.keys_path, "storage"), credentials.capabilities["storage"])
        storage.allow_call(operation("storage.list"), storage_pb2.ListRequest(client_id="ann"), "storage-0")
        with pytest.raises(PermissionDeniedError, match="the files of client 'ann'"):
            storage.allow_call(operation("storage.list"), storage_pb2.ListRequest(client_id="bob"), "storage-0")
        mathematics = verify(load_or_make_key(configuration.keys_path, "math"), credentials.capabilities["math"])
        mathematics.allow_call(operation("math.factorial"), math_pb2.FactorialRequest(), "math-0")

    def test_what_was_issued_is_what_is_loaded(self, configuration: Configuration) -> None:
        issued = issue(configuration)
        assert load_credentials(configuration, "ann") == issued
        assert (issued.client_id, issued.issued_at, issued.expires_at) == ("ann", NOW, EXPIRES_AT)

    @pytest.mark.usefixtures("everything_readable")
    def test_nobody_else_can_read_it_at_any_moment(self, configuration: Configuration, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[tuple[int, int]] = []

        def looking(call: Callable[..., Any]) -> Callable[..., Any]:
            def look(*arguments: Any, **options: Any) -> Any:
                for path in configuration.clients_path.iterdir() if configuration.clients_path.exists() else ():
                    seen.append((mode(configuration.clients_path), mode(path)))
                return call(*arguments, **options)

            return look

        for name in ("fdopen", "fsync", "link", "unlink"):
            monkeypatch.setattr(os, name, looking(getattr(os, name)))
        issue(configuration)
        assert len(seen) >= 3
        assert set(seen) == {(0o700, 0o600)}
        assert (mode(configuration.clients_path), mode(client_file(configuration, "ann"))) == (0o700, 0o600)
        assert [path.name for path in configuration.clients_path.iterdir()] == ["ann.json"]

    def test_a_name_that_is_taken_is_refused_and_its_file_left_alone(self, configuration: Configuration) -> None:
        issue(configuration)
        before = client_file(configuration, "ann").read_bytes()
        with pytest.raises(AlreadyExistsError, match="clients revoke ann"):
            issue(configuration)
        assert client_file(configuration, "ann").read_bytes() == before

    def test_of_two_at_once_one_is_refused(self, configuration: Configuration, monkeypatch: pytest.MonkeyPatch) -> None:
        """Both find no file at first."""
        both = threading.Barrier(2)
        link = os.link
        outcomes: list[Credentials | None] = []

        def link_together(*arguments: Any) -> None:
            if str(arguments[1]).endswith("ann.json"):
                both.wait(30)
            link(*arguments)

        def attempt() -> None:
            try:
                outcomes.append(issue(configuration))
            except AlreadyExistsError:
                outcomes.append(None)

        monkeypatch.setattr(os, "link", link_together)
        threads = [threading.Thread(target=attempt) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        (winner,) = [outcome for outcome in outcomes if outcome]
        assert len(outcomes) == 2
        assert load_credentials(configuration, "ann") == winner
        assert list_clients(configuration) == ("ann",)

    @pytest.mark.parametrize("expires_at", [NOW, NOW - 1, float("nan"), float("inf")])
    def test_it_has_to_end_in_the_future(self, configuration: Configuration, expires_at: float) -> None:
        with pytest.raises(InvalidArgumentError, match="no time in the future"):
            issue_client(configuration, "ann", expires_at, lambda: NOW)
        assert not configuration.service_config_path.exists()

    def test_where_it_cannot_be_kept_the_folder_is_named(self, configuration: Configuration) -> None:
        configuration.service_config_path.mkdir(parents=True)
        configuration.clients_path.touch()
        with pytest.raises(ConfigurationError, match=f"'ann' cannot be kept in {configuration.clients_path}"):
            issue(configuration)


class TestNames:
    @settings(deadline=None, max_examples=60, database=None)
    @given(st.text(max_size=12) | st.sampled_from([".", "..", ".mockdc", "a/b", "a\\b", "a\n", "\x7f", ".writing-" + "0" * 16]))
    def test_a_client_that_is_let_in_can_have_files(self, name: str) -> None:
        here = load_nothing()
        try:
            client_file(here, name)
        except InvalidArgumentError as error:
            assert error.field == "client_id"
            if not name.startswith(".writing-"):
                with pytest.raises(InvalidArgumentError):
                    folder_of(name)
        else:
            assert folder_of(name) == name

    def test_a_name_has_room_for_the_suffix(self, configuration: Configuration) -> None:
        longest = "é" * (MAX_NAME_BYTES // 2)
        issue(configuration, longest)
        assert load_credentials(configuration, longest).client_id == longest
        with pytest.raises(InvalidArgumentError, match="252 bytes long; 250 are allowed"):
            issue(configuration, f"{longest}é")

    def test_a_name_with_spaces_can_be_typed_as_it_is_shown(self, configuration: Configuration) -> None:
        with pytest.raises(PermissionDeniedError, match=r"clients add 'ann and bob'$"):
            load_credentials(configuration, "ann and bob")


def load_nothing() -> Configuration:
    """A configuration with paths that nobody touches."""
    return load(Path(__file__).resolve().parents[2])


class TestLoad:
    def test_a_client_that_is_not_there_can_be_added(self, configuration: Configuration) -> None:
        issue(configuration, "bob")
        with pytest.raises(
            PermissionDeniedError,
            match=r"^there is no client 'ann' in this datacenter; type: python3 run_datacenter\.py clients add ann$",
        ):
            load_credentials(configuration, "ann")

    @pytest.mark.parametrize("others", [0o004, 0o040, 0o020, 0o001])
    def test_a_file_that_others_can_read_is_refused(self, configuration: Configuration, others: int) -> None:
        issue(configuration)
        path = client_file(configuration, "ann")
        path.chmod(0o600 | others)
        with pytest.raises(ConfigurationError, match=rf"ann\.json has mode {0o600 | others:04o}.* `chmod 600 {path}`"):
            load_credentials(configuration, "ann")

    def test_a_folder_where_others_can_write_is_refused(self, configuration: Configuration) -> None:
        issue(configuration)
        configuration.clients_path.chmod(0o730)
        for use in (load_credentials, issue):
            with pytest.raises(ConfigurationError, match=f"`chmod 700 {configuration.clients_path}`"):
                use(configuration, "ann" if use is load_credentials else "bob")
        assert list_clients(configuration) == ("ann",)

    @pytest.mark.parametrize(
        "change",
        [
            lambda content: "",
            lambda content: json.dumps(content)[:-20],
            lambda content: "[]",
            lambda content: "[" * 100_000,
            lambda content: "\0",
            lambda content: json.dumps({**content, "client_id": "bob"}),
            lambda content: json.dumps({**content, "capabilities": {}}),
            lambda content: json.dumps({**content, "capabilities": None}),
            lambda content: json.dumps({**content, "expires_at": "tomorrow"}),
            lambda content: json.dumps({**content, "expires_at": float("nan")}),
            lambda content: json.dumps({**content, "capabilities": {**content["capabilities"], "math": ""}}),
            lambda content: json.dumps({**content, "capabilities": {**content["capabilities"], "math": "?"}}),
            lambda content: json.dumps({**content, "capabilities": {**content["capabilities"], "math": "/w=="}}),
            lambda content: json.dumps({name: value for name, value in content.items() if name != "issued_at"}),
        ],
    )
    def test_a_damaged_file_is_named_and_what_is_in_it_is_not(
        self, configuration: Configuration, change: Callable[[Any], str]
    ) -> None:
        issue(configuration)
        path = client_file(configuration, "ann")
        content = json.loads(path.read_text())
        path.write_text(change(content))
        with pytest.raises(ConfigurationError, match=rf"{path} is damaged.*clients add ann") as caught:
            load_credentials(configuration, "ann")
        for secret in content["capabilities"].values():
            assert secret[10:30] not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None

    def test_a_pipe_or_a_folder_in_its_place_is_no_file(self, configuration: Configuration) -> None:
        issue(configuration, "bob")
        os.mkfifo(client_file(configuration, "ann"), 0o600)
        with pytest.raises(ConfigurationError, match="is damaged"):
            load_credentials(configuration, "ann")
        client_file(configuration, "ann").unlink()
        client_file(configuration, "ann").mkdir(mode=0o700)
        with pytest.raises(FractosError, match=r"ann\.json"):
            load_credentials(configuration, "ann")

    def test_no_repr_shows_a_secret(self, configuration: Configuration) -> None:
        credentials = issue(configuration)
        shown = repr(credentials) + str(credentials)
        assert "ann" in shown
        for capability in credentials.capabilities.values():
            for secret in (capability.seal, capability.links[0]):
                assert repr(secret)[2:-1][:12] not in shown
            assert "seal" not in shown


class TestComplete:
    def test_a_client_gets_what_came_after_it_and_keeps_what_it_has(self, configuration: Configuration) -> None:
        before = issue(configuration)
        path = client_file(configuration, "ann")
        content = json.loads(path.read_text())
        del content["capabilities"]["math"]
        path.write_text(json.dumps(content))
        assert complete_client(configuration, "ann", clock=lambda: NOW) == ("math",)
        after = load_credentials(configuration, "ann")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [one.name for one in path.parent.iterdir()] == [path.name]
        assert after.capabilities.keys() == before.capabilities.keys()
        assert after.capabilities["storage"] == before.capabilities["storage"]
        assert (after.issued_at, after.expires_at) == (before.issued_at, before.expires_at)
        link = fractos_pb2.Link.FromString(after.capabilities["math"].links[0])
        assert (link.service, link.client_id, link.expires_at) == ("math", "ann", EXPIRES_AT)

    def test_who_lacks_nothing_or_whose_time_is_over_is_left_alone(self, configuration: Configuration) -> None:
        issue(configuration)
        path = client_file(configuration, "ann")
        before = path.read_bytes()
        assert complete_client(configuration, "ann", clock=lambda: NOW) == ()
        assert path.read_bytes() == before
        path.write_bytes(before.replace(b'"math"', b'"moth"'))
        assert complete_client(configuration, "ann", clock=lambda: EXPIRES_AT + 1) == ()


class TestRemove:
    def test_a_client_is_removed_and_may_be_added_again(self, configuration: Configuration) -> None:
        first = issue(configuration)
        issue(configuration, "bob")
        assert list_clients(configuration) == ("ann", "bob")
        remove_client(configuration, "ann")
        assert list_clients(configuration) == ("bob",)
        assert issue(configuration).capabilities["math"] != first.capabilities["math"]

    def test_one_that_is_not_there_is_said(self, configuration: Configuration) -> None:
        assert list_clients(configuration) == ()
        with pytest.raises(NotFoundError, match=r"no client 'ann'.*clients list"):
            remove_client(configuration, "ann")
