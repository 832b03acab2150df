"""Who is let in: only who has the address that was printed, and only the page itself may change anything. Pure.

The address holds a secret, since other users of this host reach its ports as well. The page that comes with it sets a cookie,
which the browser sends with every request. What changes something needs more, so that no other page of the same browser can:
the token that is written in the page, and an Origin that is this server. The Host is checked because a name of the attacker's
may be made to lead here (DNS rebinding); nothing allows other origins to read anything (no CORS).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")  # by which a browser may know this server
TOKEN_HEADER = "X-Dashboard-Token"
KEY = "key"  # the parameter of the address
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' {sockets};"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Doors:
    """The doors of one server."""

    port: int
    key: str  # in the address, then in the cookie
    token: str  # in the page

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{HOST}:{self.port}/?{KEY}={self.key}"

    @property
    def cookie(self) -> str:
        """Its name: browsers send cookies to all ports of a host."""
        return f"mockdc-dashboard-{self.port}"

    def is_host(self, host: str) -> bool:
        """Whether a Host header means this server."""
        return host in self._hosts

    def is_origin(self, origin: str) -> bool:
        """Whether an Origin header means this server."""
        return origin in {f"http://{host}" for host in self._hosts}

    def knows(self, cookies: Mapping[str, str]) -> bool:
        """Whether a browser has opened the address before."""
        return self.is_key(cookies.get(self.cookie, ""))

    def is_key(self, key: str) -> bool:
        """Whether that is the secret of the address."""
        return hmac.compare_digest(key.encode(), self.key.encode())

    def is_token(self, token: str) -> bool:
        """Whether that is the secret of the page."""
        return hmac.compare_digest(token.encode(), self.token.encode())

    @property
    def headers(self) -> dict[str, str]:
        """What every answer carries."""
        sockets = " ".join(f"ws://{host}" for host in self._hosts)
        return {
            "Content-Security-Policy": CONTENT_POLICY.format(sockets=sockets),
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-store",
        }

    @property
    def _hosts(self) -> tuple[str, ...]:
        return tuple(f"{name}:{self.port}" for name in NAMES)
