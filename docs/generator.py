"""Makes the pages of `docs/reference`: `python -m docs.generator` writes them, `--check` only says which ones are stale.

`make docs` and `make check` call it. Nothing on these pages is written by hand: what they say stands in the code.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from docs import configuration_page, errors_page, operations_page
from Services.fractos.config import CODE_ROOT

FOLDER = Path(__file__).parent / "reference"
NOTE = "<!-- Made by `make docs`; do not change it here. -->\n\n"
PAGES: dict[str, Callable[[Path], str]] = {
    "configuration.md": configuration_page.page,
    "errors.md": errors_page.page,
    "operations.md": operations_page.page,
}


def main() -> int:
    """Write the pages, or compare them. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m docs.generator", description="Makes the pages of docs/reference.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is stale")
    check = parser.parse_args().check
    made = {FOLDER / name: NOTE + page(CODE_ROOT) for name, page in PAGES.items()}
    stale = [path for path, text in made.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if check:
        for path in stale:
            print(f"error: {path.relative_to(CODE_ROOT)} is not what the code says; type: make docs", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(made[path], encoding="utf-8")
        print(f"wrote {path.relative_to(CODE_ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
