"""Downloading ZooKeeper: from a real server on this host, which breaks off, goes on and lies as told."""

from __future__ import annotations

import hashlib
import os
import ssl
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from Services.datacenter import download as module
from Services.datacenter.download import download
from Services.datacenter.screen import Screen
from Services.fractos.errors import DataLossError, UnavailableError
from Services.fractos.zookeeper_settings import ZooKeeperSettings

NAME = "apache-zookeeper-3.8.6-bin.tar.gz"


@dataclass
class Mirror:
    """A web server and how it behaves."""

    port: int = 0
    content: bytes = b""
    checksum: str = ""  # the file beside the archive
    break_off_at: int | None = None
    ranges: bool = True  # whether it can go on in the middle
    shift: int = 0  # where it goes on instead, beside the right place
    redirect: str = ""
    silent_until: threading.Event | None = None  # after the first bytes
    length: bool = True  # whether it says how much comes
    asked: list[str | None] = field(default_factory=list)  # the ranges

    def settings(self, scheme: str = "http", *, pinned: bool = True) -> ZooKeeperSettings:
        sha512 = hashlib.sha512(self.content).hexdigest() if pinned else ""
        url = f"{scheme}://127.0.0.1:{self.port}/zookeeper/{NAME}"
        return ZooKeeperSettings(download_url=url, download_sha512=sha512)


class Server(ThreadingHTTPServer):
    """Clients that have seen enough go, which is none of its troubles."""

    def handle_error(self, request: object, client_address: object) -> None:
        assert isinstance(sys.exc_info()[1], OSError)


def handler(mirror: Mirror) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == f"/zookeeper/{NAME}.sha512" and mirror.redirect:
                self.send_response(302)
                self.send_header("Location", mirror.redirect)
                self.end_headers()
            elif self.path in {f"/zookeeper/{NAME}.sha512", "/elsewhere"}:
                self.send(200, mirror.checksum.encode(), 0)
            elif self.path == f"/zookeeper/{NAME}":
                self.archive()
            else:
                self.send_error(404)

        def archive(self) -> None:
            wanted = self.headers.get("Range")
            mirror.asked.append(wanted)
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and mirror.ranges else 0
            if start >= len(mirror.content) > 0 and start:
                self.send_error(416)
                return
            start += mirror.shift if start else 0
            self.send(206 if start else 200, mirror.content[: mirror.break_off_at][start:], start)

        def send(self, status: int, content: bytes, start: int) -> None:
            self.send_response(status)
            whole = len(mirror.content) - start if mirror.break_off_at else len(content)
            if mirror.length:
                self.send_header("Content-Length", str(whole))
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{len(mirror.content) - 1}/{len(mirror.content)}")
            self.end_headers()
            if mirror.silent_until:
                self.wfile.write(content[:10])
                mirror.silent_until.wait(20)
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    mirror = Mirror(content=os.urandom(3_000_000))
    yield from serve(mirror, None)


@pytest.fixture
def https_mirror(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Mirror]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    mirror = Mirror(content=os.urandom(100_000))
    mirror.checksum = f"{hashlib.sha512(mirror.content).hexdigest()}  {NAME}\n"
    yield from serve(mirror, context)


def serve(mirror: Mirror, context: ssl.SSLContext | None) -> Iterator[Mirror]:
    server = Server(("127.0.0.1", 0), handler(mirror))
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    mirror.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield mirror
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "datacenter").mkdir()
    return tmp_path / "datacenter"


def files(root: Path) -> list[str]:
    return [path.name for path in sorted(root.rglob("*")) if path.is_file()]


def test_what_is_right_is_put_into_the_folder_with_progress(
    root: Path, mirror: Mirror, capsys: pytest.CaptureFixture[str]
) -> None:
    assert download(mirror.settings(), root, Screen()).read_bytes() == mirror.content
    assert files(root) == [NAME]
    said = capsys.readouterr().out
    assert f"downloading {mirror.settings().download_url}: 1/3 MB\n" in said
    assert f"{root / NAME} was downloaded; its SHA-512 is right" in said


@pytest.mark.parametrize("there", [NAME, NAME.removesuffix(".tar.gz") + "/lib/zookeeper-3.8.6.jar"])
def test_what_is_there_is_not_downloaded_again(root: Path, mirror: Mirror, there: str) -> None:
    (root / there).parent.mkdir(parents=True, exist_ok=True)
    (root / there).write_text("mine")
    download(mirror.settings(), root, Screen())
    assert (root / there).read_text() == "mine"
    assert mirror.asked == []


@pytest.mark.parametrize("length", [True, False])
def test_a_download_that_broke_off_goes_on(root: Path, mirror: Mirror, length: bool) -> None:
    mirror.break_off_at = 1_200_000
    with pytest.raises(UnavailableError, match=r"broke off after 1,200,000 bytes .* go on from there"):
        download(mirror.settings(), root, Screen())
    assert not (root / NAME).exists()
    mirror.break_off_at, mirror.length = None, length
    assert download(mirror.settings(), root, Screen()).read_bytes() == mirror.content
    assert mirror.asked == [None, "bytes=1200000-"]
    assert files(root) == [NAME]


def test_a_server_that_cannot_go_on_begins_anew(root: Path, mirror: Mirror) -> None:
    mirror.break_off_at = 1_200_000
    with pytest.raises(UnavailableError):
        download(mirror.settings(), root, Screen())
    mirror.break_off_at, mirror.ranges = None, False
    assert download(mirror.settings(), root, Screen()).read_bytes() == mirror.content


def test_a_server_that_goes_on_elsewhere_is_refused(root: Path, mirror: Mirror) -> None:
    mirror.break_off_at = 1_200_000
    with pytest.raises(UnavailableError):
        download(mirror.settings(), root, Screen())
    mirror.break_off_at, mirror.shift = None, 1000
    with pytest.raises(DataLossError, match=r"go on at byte 1200000 and answers 'bytes 1201000-.* thrown away"):
        download(mirror.settings(), root, Screen())
    assert files(root) == []


def test_a_file_that_changed_before_it_went_on_is_refused_and_then_comes_anew(root: Path, mirror: Mirror) -> None:
    right = mirror.content
    settings = mirror.settings()
    mirror.content, mirror.break_off_at = os.urandom(len(right)), 1_200_000
    with pytest.raises(UnavailableError):
        download(settings, root, Screen())
    mirror.content, mirror.break_off_at = right, None
    with pytest.raises(DataLossError, match=r"thrown away: its SHA-512 is [0-9a-f]{16}…, but [0-9a-f]{16}… is right"):
        download(settings, root, Screen())
    assert files(root) == []
    assert download(settings, root, Screen()).read_bytes() == right


def test_a_file_shorter_than_what_came_is_asked_for_anew(root: Path, mirror: Mirror) -> None:
    settings = mirror.settings()
    (root / ".mockdc").mkdir()
    (root / ".mockdc" / f"{NAME}.{settings.download_sha512[:16]}.partial").write_bytes(bytes(4_000_000))
    assert download(settings, root, Screen()).read_bytes() == mirror.content
    assert mirror.asked == ["bytes=4000000-", None]


def test_a_launcher_that_was_killed_before_the_end_has_all_it_needs(root: Path, mirror: Mirror) -> None:
    settings = mirror.settings()
    (root / ".mockdc").mkdir()
    (root / ".mockdc" / f"{NAME}.{settings.download_sha512[:16]}.partial").write_bytes(mirror.content)
    assert download(settings, root, Screen()).read_bytes() == mirror.content
    assert mirror.asked == []


def test_a_wrong_file_is_refused(root: Path, mirror: Mirror) -> None:
    settings = mirror.settings()
    mirror.content = b"<html>Please log in</html>"
    with pytest.raises(DataLossError, match="thrown away"):
        download(settings, root, Screen())
    assert files(root) == []


@pytest.mark.parametrize("length", [True, False])
def test_a_file_without_end_is_refused(root: Path, mirror: Mirror, length: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_BYTES", 1_000_000)
    mirror.length = length
    with pytest.raises(DataLossError, match="has more than 1 MB"):
        download(mirror.settings(), root, Screen())
    assert not (root / NAME).exists()


@pytest.mark.parametrize("pinned", [True, False])
def test_a_server_that_falls_silent_is_given_up(
    root: Path, https_mirror: Mirror, pinned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENCE_S", 0.2)
    https_mirror.silent_until = threading.Event()
    try:
        with pytest.raises(UnavailableError, match="timed out"):
            download(https_mirror.settings("https", pinned=pinned), root, Screen())
    finally:
        https_mirror.silent_until.set()


def test_a_file_that_is_not_there_names_the_key(root: Path, mirror: Mirror) -> None:
    settings = ZooKeeperSettings(download_url=f"http://127.0.0.1:{mirror.port}/{NAME}", download_sha512="0" * 128)
    with pytest.raises(UnavailableError, match=r"404 Not Found; correct \[ZooKeeper\] download_url"):
        download(settings, root, Screen())


def test_without_a_way_there_it_says_what_else_to_do(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    settings = ZooKeeperSettings(download_url=f"https://nowhere.invalid/{NAME}")
    with pytest.raises(UnavailableError, match=r"cannot be downloaded: .*apt-get install zookeeper.*--directory files"):
        download(settings, root, Screen())
    assert files(root) == []


def test_the_published_checksum_counts_where_none_is_configured(root: Path, https_mirror: Mirror) -> None:
    settings = https_mirror.settings("https", pinned=False)
    assert download(settings, root, Screen()).read_bytes() == https_mirror.content


def test_an_archive_other_than_the_published_one_is_refused(root: Path, https_mirror: Mirror) -> None:
    https_mirror.content = os.urandom(100_000)
    with pytest.raises(DataLossError, match="thrown away"):
        download(https_mirror.settings("https", pinned=False), root, Screen())
    assert files(root) == []


@pytest.mark.parametrize(
    "checksum", ["", "<html>", "0" * 127, f"{'0' * 128}  another-file.tar.gz", "0" * 128 + "\n" + "0" * 128]
)
def test_a_checksum_file_that_is_none_is_refused(root: Path, https_mirror: Mirror, checksum: str) -> None:
    https_mirror.checksum = checksum
    with pytest.raises(UnavailableError, match=r"has no SHA-512 of that archive"):
        download(https_mirror.settings("https", pinned=False), root, Screen())


def test_a_checksum_that_came_over_http_is_refused(root: Path, https_mirror: Mirror, mirror: Mirror) -> None:
    https_mirror.redirect = f"http://127.0.0.1:{mirror.port}/elsewhere"
    mirror.checksum = https_mirror.checksum
    with pytest.raises(UnavailableError, match=r"is no https address; set .* download_sha512"):
        download(https_mirror.settings("https", pinned=False), root, Screen())


def test_a_server_with_a_certificate_of_its_own_is_refused(
    root: Path, https_mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(UnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
        download(https_mirror.settings("https", pinned=False), root, Screen())
