"""Who this process is to a ZooKeeper ensemble of others, and what everybody else may do with what it makes there.

The password lies in a file of its own, which the directory record names; it is read when a connection is opened and kept out of
records, logs and messages. ZooKeeper never says that a password is wrong: with another one this is simply someone else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kazoo.security import ACL, CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE, Permissions, make_acl

from Services.fractos.directory.interface import DirectoryRecord
from Services.fractos.errors import ConfigurationError, PermissionDeniedError

# Where nobody signs in, everybody may do everything.
OPEN: list[ACL] = OPEN_ACL_UNSAFE
# The nodes of a datacenter: whoever made them may do everything, others may look.
OWN: list[ACL] = CREATOR_ALL_ACL + READ_ACL_UNSAFE
# The nodes above, if they had to be made: other datacenters may put theirs beside ours.
SHARED: list[ACL] = [*CREATOR_ALL_ACL, make_acl("world", "anyone", read=True, create=True)]


@dataclass(frozen=True)
class Credentials:
    """A name and its password."""

    username: str
    password: str = field(repr=False)

    @property
    def sign_in(self) -> list[tuple[str, str]]:
        """What kazoo sends on every new connection."""
        return [("digest", f"{self.username}:{self.password}")]


def read_credentials(record: DirectoryRecord) -> Credentials | None:
    """The credentials that a directory record names, or None.

    Raises ConfigurationError if the password cannot be read, or everybody could read it.
    """
    if not record.username:
        return None
    path = Path(record.password_file)
    where = f"[ZooKeeper] password_file = {path}"
    try:
        password = path.read_text(encoding="utf-8").rstrip("\r\n")
        exposed = path.stat().st_mode & 0o007
    except OSError as error:
        raise ConfigurationError(
            f"{where}: cannot be read ({error.strerror}); make it, or correct its owner or the path"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{where}: is not UTF-8 text; write the password alone into it") from error
    if exposed:
        raise ConfigurationError(f"{where}: everybody on this host can read it; type `chmod 600 {path}`")
    if not password or "\n" in password:
        raise ConfigurationError(f"{where}: must hold the password, in one line and nothing else")
    return Credentials(record.username, password)


def owners(acls: Iterable[Any]) -> str:
    """Who may change a node, in words, by its access control list; of a digest only the name is told."""
    names = {acl.id.id.partition(":")[0] for acl in acls if acl.perms & ~Permissions.READ}
    return ", ".join(sorted(names)) or "nobody"


def refusal(record: DirectoryRecord, path: str, belongs_to: str) -> PermissionDeniedError:
    """What to say when ZooKeeper has refused something at or below `path`."""
    who = f"{record.username!r} with the password in {record.password_file}" if record.username else "a client without username"
    if record.username in belongs_to.split(", "):
        belongs_to += " with another password"
    return PermissionDeniedError(
        f"ZooKeeper at {record.address} does not let {who} use {path}, which belongs to {belongs_to}; correct [ZooKeeper]"
        " username and password_file, or have the rights changed, or use another [DataCenter] name or another chroot in hosts"
    )
