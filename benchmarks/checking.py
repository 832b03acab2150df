"""What the checking of capabilities costs: rings of steps in a datacenter that checks them beside one that is open.

python benchmarks/checking.py [--rounds N] [--json]

Exit code 1 if the ring of 8 takes more than 1.15 times as long with checking.
"""

from __future__ import annotations

import argparse
import json

from ring import as_text, datacenter_folder
from side_by_side import measure

from Services.fractos import connect

TARGET = 1.15


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--rounds", type=int, default=12, help="how many rounds to measure (default: %(default)s)")
    options = parser.parse_args()
    with (
        datacenter_folder() as one,
        datacenter_folder("authorization = open") as other,
        connect(one, client_id="admin") as checking,
        connect(other) as everybody,
    ):
        figures = measure({"checked": checking, "open": everybody}, options.rounds)
    print(json.dumps(figures, indent=2) if options.json else as_text(figures))
    return 1 if figures["ring of 8, checked / open"]["median"] > TARGET else 0


if __name__ == "__main__":
    raise SystemExit(main())
