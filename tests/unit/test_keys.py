"""The keys of a datacenter: made once, the same for all, and refused where others might know them."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from Services.fractos.capability import KEY_BYTES
from Services.fractos.errors import ConfigurationError
from Services.fractos.keys import load_key, load_or_make_key


def test_a_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "keys"
    key = load_or_make_key(folder, "storage")
    assert len(key) == KEY_BYTES
    assert load_or_make_key(folder, "storage") == key
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "storage.key").stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["storage.key"]


def test_every_name_and_every_datacenter_has_a_key_of_its_own(tmp_path: Path) -> None:
    made = [load_or_make_key(tmp_path / folder, name) for folder in ("a", "b") for name in ("datacenter", "math")]
    assert len(set(made)) == 4


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        rounds = [tmp_path / str(number) for number in range(25)]
        tries = [[pool.submit(load_or_make_key, folder, "datacenter") for _ in range(4)] for folder in rounds]
        assert [len({one.result() for one in keys}) for keys in tries] == [1] * len(rounds)


def test_a_process_that_was_slower_takes_the_key_of_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link
    other: list[bytes] = []

    def overtaken(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        other.append(load_or_make_key(tmp_path, "math"))
        link(source, target)

    monkeypatch.setattr(os, "link", overtaken)
    assert load_or_make_key(tmp_path, "math") == other[0]
    assert [path.name for path in tmp_path.iterdir()] == ["math.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o777])
def test_a_key_that_others_may_know_is_refused(tmp_path: Path, mode: int) -> None:
    key = load_or_make_key(tmp_path, "cnn")
    (tmp_path / "cnn.key").chmod(mode)
    with pytest.raises(ConfigurationError, match=rf"cnn\.key has mode {mode:04o}.*chmod 600 .*cnn\.key") as caught:
        load_or_make_key(tmp_path, "cnn")
    assert key.hex() not in str(caught.value)


def test_a_folder_in_which_others_can_replace_a_key_is_refused(tmp_path: Path) -> None:
    load_or_make_key(tmp_path, "cnn")
    tmp_path.chmod(0o730)
    with pytest.raises(ConfigurationError, match="has mode 0730, so others could replace a key; type `chmod 700"):
        load_or_make_key(tmp_path, "cnn")


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33, b"x" * 4096])
def test_a_damaged_key_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "math.key"
    path.touch(mode=0o600)
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"math\.key is damaged.*copy it again"):
        load_or_make_key(tmp_path, "math")
    assert path.read_bytes() == content


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "math.key", 0o600)
    with pytest.raises(ConfigurationError, match="damaged"):
        load_or_make_key(tmp_path, "math")
    (tmp_path / "cnn.key").mkdir(mode=0o700)
    with pytest.raises(ConfigurationError, match=r"cnn\.key cannot be used"):
        load_or_make_key(tmp_path, "cnn")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"the key .*file/keys/math\.key cannot be used: Not a directory; let"):
        load_or_make_key(tmp_path / "file" / "keys", "math")


def test_who_only_looks_makes_no_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"the key .*keys/math\.key cannot be read: No such file"):
        load_key(tmp_path / "keys", "math")
    assert not list(tmp_path.iterdir())
    assert load_or_make_key(tmp_path / "keys", "math") == load_key(tmp_path / "keys", "math")
