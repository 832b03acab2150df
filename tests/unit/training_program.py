"""Stands for the program of a training: prints what the data set, here a file, holds."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    (dataset,) = (one.partition("=")[2] for one in sys.argv if one.startswith("--dataset="))
    print(Path(dataset).read_text(), flush=True)
