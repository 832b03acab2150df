#!/usr/bin/env python3
"""Sets up, starts, watches and stops the datacenter of this folder. See `python3 run_datacenter.py --help`."""

import sys
from pathlib import Path

try:
    from Services.datacenter.commands import main
except ModuleNotFoundError:
    import runpy

    runpy.run_path(str(Path(__file__).resolve().parent / "Services/fractos/bootstrap.py"))
    raise
except KeyboardInterrupt:
    sys.exit(130)

if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent))
