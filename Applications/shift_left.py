"""Doubles a number that lies in storage, one hop for each doubling, and stores what comes out.

python3 Applications/shift_left.py [NUMBER_FILE] [BITS]
"""

try:
    from Services.fractos import FractosError, TaskGraph, connect
except ModuleNotFoundError:
    import pathlib
    import runpy

    runpy.run_path(str(pathlib.Path(__file__).resolve().parents[1] / "Services/fractos/bootstrap.py"))

import argparse
import sys
from pathlib import PurePosixPath

CLIENT_ID = "admin"
DEFAULT_FILE = "number.txt"
DEFAULT_BITS = 4


def main() -> int:
    """Ask for what was not given, if somebody is there to answer, and run the graph."""
    parser = argparse.ArgumentParser(description="Shifts a number in storage to the left, one step for each bit.")
    parser.add_argument("number_file", nargs="?", help=f"its name in storage (default: {DEFAULT_FILE})")
    parser.add_argument("bits", nargs="?", type=int, help=f"how many doublings, up to 900 (default: {DEFAULT_BITS})")
    options = parser.parse_args()
    name = options.number_file or ask("file with the number", DEFAULT_FILE)
    try:
        bits = options.bits if options.bits is not None else int(ask("bits to shift", str(DEFAULT_BITS)))
        shifted = shift_left(name, bits)
    except (FractosError, ValueError) as error:
        sys.exit(f"{error}")
    print(shifted)
    return 0


def shift_left(name: str, bits: int) -> str:
    """Shift the number in the file `name`; return a sentence on it."""
    if not 0 <= bits <= 900:
        raise ValueError(f"bits is {bits}; it must be from 0 to 900, since each is a step of one graph")
    path = PurePosixPath(name)
    target = str(path.with_name(f"{path.stem}_shifted{path.suffix}"))
    graph = TaskGraph("shift left")
    number = graph.storage.read_integer(client_id=CLIENT_ID, name=name)
    last = number
    for _ in range(bits):
        last = graph.math.shift_left(value=last.value, bits=1)
    graph.storage.write_integer(client_id=CLIENT_ID, name=target, value=last.value)
    graph.output(number)
    graph.output(last)
    with connect() as datacenter:
        result = datacenter.run(graph)
    before, after = shown(result[number].value), shown(result[last].value)
    return f"{before} << {bits} = {after}, stored as {target}"


def shown(value: int) -> str:
    """The number, or how long it is if it would fill the screen."""
    return str(value) if value.bit_length() <= 2000 else f"(a number of {value.bit_length()} bits)"


def ask(what: str, default: str) -> str:
    """Ask on a terminal; elsewhere take the default."""
    return (sys.stdin.isatty() and input(f"{what} [{default}]: ")) or default


if __name__ == "__main__":
    raise SystemExit(main())
