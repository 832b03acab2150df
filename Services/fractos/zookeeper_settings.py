"""The [ZooKeeper] section of data_center_setup.cfg: servers of its own, or those of others. Read by `config.py`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from Services.fractos.settings_file import Section

KEYS = {"servers", "hosts", "username", "password_file", "download_url", "download_sha512"}
DEFAULT_SERVERS = 3
MAXIMUM_SERVERS = 7
DEFAULT_PORT = 2181
# Apache's archive keeps every release for good; its other addresses have the latest ones only.
DOWNLOAD_URL = "https://archive.apache.org/dist/zookeeper/zookeeper-3.8.6/apache-zookeeper-3.8.6-bin.tar.gz"
ARCHIVE_URL = r"https?://[^\s/?#]+/(?:[^\s?#]*/)?apache-zookeeper-[0-9][A-Za-z0-9.-]*-bin\.tar\.gz"
HOSTS = "host:port,host:port,… with /path/in/zookeeper after it if you like"
HOST = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
CHROOT = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9_.-]+)+")


@dataclass(frozen=True)
class ZooKeeperSettings:
    """Which ZooKeeper servers a datacenter uses, and where the launcher downloads ZooKeeper when it is asked to."""

    servers: int = DEFAULT_SERVERS  # of its own; without meaning where `hosts` is set
    hosts: str = ""  # "host:port,host:port,…[/chroot]" of servers that others run; empty: it has its own
    username: str = ""  # empty: nodes and clients sign in to `hosts` as nobody
    password_file: Path | None = None  # absolute; set if `username` is
    download_url: str = DOWNLOAD_URL
    download_sha512: str = ""  # 128 hexadecimal digits; empty: what lies beside the archive counts


def read_zookeeper_settings(section: Section, root: Path) -> ZooKeeperSettings:
    """Read the section, noting its mistakes; relative paths start at `root`."""
    servers = section.number("servers", DEFAULT_SERVERS, 1, MAXIMUM_SERVERS, odd=True)
    hosts = _hosts(section)
    if hosts and servers != DEFAULT_SERVERS:
        section.mistake(
            "servers",
            str(servers),
            f"says how many servers to start, but hosts = {hosts} has servers of others used; remove one",
        )
    username = section.text("username", "", r".*", "a name")
    if re.search(r"[\s:]", username):
        section.mistake("username", username, "must be a name without blanks and colons")
    password_file = section.file("password_file", root)
    for key, value, other, missing in (
        ("username", username, "hosts", not hosts),
        ("username", username, "password_file", password_file is None),
        ("password_file", str(password_file or ""), "username", not username),
    ):
        if value and missing:
            section.mistake(key, value, f"is of no use without {other}; add that or remove this")
    url = section.text("download_url", DOWNLOAD_URL, ARCHIVE_URL, "the address of an apache-zookeeper-<version>-bin.tar.gz")
    sha512 = section.text("download_sha512", "", r"(?:[0-9A-Fa-f]{128})?", "a SHA-512: 128 hexadecimal digits, or nothing")
    if url.startswith("http:") and not sha512:
        remedy = "over http anyone on the way could change the archive; give an https address or its download_sha512"
        section.mistake("download_url", url, remedy)
    return ZooKeeperSettings(servers, hosts, username, password_file, url, sha512.lower())


def _hosts(section: Section) -> str:
    """The servers of others, each with its port, in the form in which ZooKeeper's clients take them."""
    value = section.text("hosts", "", r".*", HOSTS)
    if not value:
        return ""
    servers, slash, chroot = value.partition("/")
    found = [HOST.fullmatch(one.strip()) for one in servers.split(",")]
    hosts = [
        f"{one['name']}:{int(one['port'] or DEFAULT_PORT)}" for one in found if one and int(one["port"] or 1) in range(1, 65536)
    ]
    if len(hosts) != len(found) or (slash and not CHROOT.fullmatch(f"/{chroot}")):
        section.mistake("hosts", value, f"must be {HOSTS}")
        return value
    return ",".join(hosts) + slash + chroot
