"""The same graph as a ring, a fast-star and a star: what the centre costs it.

python3 Applications/three_devices.py [NUMBER_FILE]
"""

try:
    from Services.fractos import FractosError, TaskGraph, connect
except ModuleNotFoundError:
    import pathlib
    import runpy

    runpy.run_path(str(pathlib.Path(__file__).resolve().parents[1] / "Services/fractos/bootstrap.py"))

import argparse
import sys

CLIENT_ID = "admin"


def main() -> int:
    """Run the graph in each topology and print its bills."""
    parser = argparse.ArgumentParser(description="Reads a number, shifts it and stores it, in three ways, and compares them.")
    parser.add_argument("number_file", nargs="?", default="number.txt", help="its name in storage (default: %(default)s)")
    parser.add_argument("--links", action="store_true", help="show what went over each link")
    options = parser.parse_args()
    graph = TaskGraph("three devices")
    number = graph.storage.read_integer(client_id=CLIENT_ID, name=options.number_file)
    shifted = graph.math.shift_left(value=number.value, bits=80)
    graph.storage.write_integer(client_id=CLIENT_ID, name="three_devices.txt", value=shifted.value)
    try:
        with connect() as datacenter:
            for topology in ("ring", "fast-star", "star"):
                bill = datacenter.run(graph, topology=topology).bill
                print(f"{topology:9}  {bill.total.hops} hops, {bill.total.value_bytes} bytes of values")
                if options.links:
                    print(f"{bill}\n")
    except FractosError as error:
        sys.exit(f"{error}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
