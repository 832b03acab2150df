"""A program for the mock datacenter, to be copied and changed: `python3 Applications/application_template.py`."""

try:
    from Services.fractos import FractosError, TaskGraph, connect
except ModuleNotFoundError:
    import pathlib
    import runpy

    runpy.run_path(str(pathlib.Path(__file__).resolve().parents[1] / "Services/fractos/bootstrap.py"))

import sys


def main() -> None:
    """Build a task graph, run it, print what came out."""
    graph = TaskGraph("my application")

    # ---- change this: docs/reference/operations.md lists the operations ------------------------------------------------
    number = graph.math.factorial(n=20)
    doubled = graph.math.shift_left(value=number.value, bits=1)
    graph.storage.write_integer(client_id="admin", name="doubled.txt", value=doubled.value)
    # --------------------------------------------------------------------------------------------------------------------

    with connect() as datacenter:
        result = datacenter.run(graph, timeout_s=30)
    print(f"2 * 20! = {result[doubled].value}")
    for hop in result.trail:
        print(f"  {hop.operation:24} on {hop.node:12} took {hop.device_ms:.2f} ms")


if __name__ == "__main__":
    try:
        main()
    except FractosError as error:
        sys.exit(f"{error}")
