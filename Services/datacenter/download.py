"""Downloads a ZooKeeper release into the datacenter's folder when the user asks for it, and trusts its SHA-512 alone.

That is the one in the configuration, or else the one that Apache publishes beside the archive, which must come over https. What
has come so far is kept under a name that carries that checksum: whoever goes on with it goes on with the same release.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from Services.datacenter import layout
from Services.datacenter.installation import ARCHIVE_ENDING, has_jar
from Services.datacenter.screen import Screen
from Services.fractos.errors import DataLossError, UnavailableError
from Services.fractos.zookeeper_settings import ZooKeeperSettings

SILENCE_S = 10.0  # how long a server may say nothing
LARGEST_BYTES = 200_000_000  # ZooKeeper 3.9 has 20 MB
CHUNK_BYTES = 1 << 16
CHECKSUM = re.compile(r"\s*([0-9a-fA-F]{128})(?:\s+\*?(\S+))?\s*")
MEGABYTE = 1_000_000

Progress = Callable[[int, int, str], None]  # megabytes done, megabytes in all, a note


def download(settings: ZooKeeperSettings, root: Path, screen: Screen) -> Path:
    """Download the archive that `settings` names into the folder `root`, unless it or what is in it is there already.

    Raises UnavailableError if it cannot be had or did not come in full: what has come is kept and the next call goes on. Raises
    DataLossError if it is not what its checksum says: it is thrown away.
    """
    url = settings.download_url
    archive = root / url.rpartition("/")[2]
    home = archive.with_name(archive.name.removesuffix(ARCHIVE_ENDING))
    if has_jar(home) or archive.exists():
        screen.say(f"{home if has_jar(home) else archive} is there already; nothing is downloaded")
        return archive
    expected = settings.download_sha512 or _published_checksum(url)
    partial = layout.state(root) / f"{archive.name}.{expected[:16]}.partial"
    partial.parent.mkdir(parents=True, exist_ok=True)
    if not partial.exists() or _sha512(partial) != expected:  # a launcher may have been killed just before the end
        with screen.steps(f"downloading {url}") as progress:
            _fetch(url, partial, progress)
        if (actual := _sha512(partial)) != expected:
            partial.unlink()
            raise DataLossError(
                f"what came from {url} was thrown away: its SHA-512 is {actual[:16]}…, but {expected[:16]}… is right; type"
                " the command again to download it anew, or correct [ZooKeeper] download_url and download_sha512"
            )
    partial.rename(archive)
    screen.say(f"{archive} was downloaded; its SHA-512 is right")
    return archive


def _published_checksum(url: str) -> str:
    """The SHA-512 in the file that lies beside the archive."""
    with _open(f"{url}.sha512") as response:
        if not response.url.startswith("https:"):
            raise UnavailableError(
                f"{url}.sha512 leads to {response.url}, which is no https address; set [ZooKeeper] download_sha512"
            )
        try:
            text = next(_chunks(response), b"").decode(errors="replace")
        except _BrokenOffError as error:
            raise UnavailableError(f"{url}.sha512 did not come in full ({error}); type the command again") from error
    found = CHECKSUM.fullmatch(text)
    if found is None or (found[2] or "").rpartition("/")[2] not in {"", url.rpartition("/")[2]}:
        raise UnavailableError(
            f"{url}.sha512 has no SHA-512 of that archive, but {text[:80]!r}; correct [ZooKeeper] download_url"
            " or set download_sha512"
        )
    return found[1].lower()


def _fetch(url: str, partial: Path, progress: Progress) -> None:
    """Add to `partial` what it lacks of the file at `url`, or begin anew where the server cannot go on."""
    have = partial.stat().st_size if partial.exists() else 0
    try:
        response = _open(url, {"Range": f"bytes={have}-"} if have else {})
    except _BeyondEndError:
        partial.unlink()
        _fetch(url, partial, progress)
        return
    with response:
        start = have if response.status == HTTPStatus.PARTIAL_CONTENT else 0
        said = response.headers.get("Content-Range", "")
        if start and not said.startswith(f"bytes {start}-"):
            partial.unlink()
            raise DataLossError(
                f"{url} was asked to go on at byte {start} and answers {said!r}; what had come was thrown away: type"
                " the command again to download it anew"
            )
        with partial.open("ab" if start else "wb") as file:
            _copy(response, file, start, progress)


def _copy(response: http.client.HTTPResponse, file: BinaryIO, start: int, progress: Progress) -> None:
    length = response.headers.get("Content-Length")
    total = start + int(length) if length else 0  # 0: the server does not say
    done, reported, reason = start, -1, "the connection was closed"
    try:
        for chunk in _chunks(response):
            done += len(chunk)
            if max(done, total) > LARGEST_BYTES:
                raise DataLossError(
                    f"{response.url} has more than {LARGEST_BYTES // MEGABYTE} MB; correct [ZooKeeper] download_url"
                )
            file.write(chunk)
            if done // MEGABYTE > reported:
                reported = done // MEGABYTE
                progress(reported, max(done, total) // MEGABYTE, "MB")
    except _BrokenOffError as error:
        total, reason = max(total, done + 1), str(error)
    file.flush()
    os.fsync(file.fileno())
    if done < total:
        raise UnavailableError(
            f"{response.url} broke off after {done:,} bytes ({reason}); type the command again to go on from there"
        )


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while chunk := response.read(CHUNK_BYTES):
            yield chunk
    except (http.client.HTTPException, OSError) as error:
        raise _BrokenOffError(str(error) or type(error).__name__) from error


class _BrokenOffError(Exception):
    """The connection failed; says how."""


class _BeyondEndError(Exception):
    """The server has fewer bytes than were there already."""


def _open(url: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
    """Ask for a file. Raises UnavailableError that says what could be done instead."""
    request = urllib.request.Request(url, headers={"User-Agent": "mock-datacenter", **(headers or {})})
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=SILENCE_S)
    except urllib.error.HTTPError as error:
        error.close()
        if headers and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise _BeyondEndError from None
        raise UnavailableError(
            f"{url} cannot be downloaded: {error.code} {error.reason}; correct [ZooKeeper] download_url"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise UnavailableError(
            f"{url} cannot be downloaded: {reason}. Without a way there download it elsewhere and put it into the datacenter's"
            " folder, or type `apt-get install zookeeper`, or go without: `python3 run_datacenter.py --directory files`"
        ) from error
    return response


def _sha512(path: Path) -> str:
    digest = hashlib.sha512()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
