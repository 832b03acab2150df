"""What `dashboard` is asked for: its flags."""

from __future__ import annotations

import argparse

from Services.datacenter.flags import whole_number

HIGHEST_PORT = 65_535
DESCRIPTION = """\
Serves a page that shows the datacenter as it runs: its nodes, what goes over its links, runs on their way. Nodes can be killed,
stopped and started again there, and links slowed and cut. Only programs on this host reach it, and only with the address that
is printed. The datacenter need not run: the page shows when it starts. Ctrl-C ends it; what the page has stopped goes on then.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "--port", type=whole_number(1, HIGHEST_PORT), default=0, metavar="N", help="where to serve it (default: a free port)"
    )
