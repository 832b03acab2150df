"""The command of the simulator: replays one seed, with its story if wanted, or looks for one that goes wrong."""

from __future__ import annotations

import argparse
import sys

from tests.simulation import scale
from tests.simulation.plants import PLANTS
from tests.simulation.runner import Failure, first_failure, shortest
from tests.simulation.scenario import Scenario, draw
from tests.simulation.simulation import simulate

MANY_S = 10  # how many times a range of seeds reports its progress


def main(arguments: list[str] | None = None) -> int:
    """Exit status 1 if a promise was broken."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["scale"]:
        return scale.main(arguments[1:])
    options = _parser().parse_args(arguments)
    if options.seeds is not None:
        return _many(options.seeds, options.jobs, options.plant)
    scenario = draw(options.seed)
    if options.keep is not None:
        scenario = scenario.keeping(options.keep)
    return _one(scenario, options)


def _one(scenario: Scenario, options: argparse.Namespace) -> int:
    if options.story:
        _show(scenario)
    violations = simulate(scenario, plant=PLANTS[options.plant], tell=print if options.story else None)
    if not violations:
        print(f"seed {scenario.seed}: {len(scenario.submissions)} runs, {len(scenario.faults)} faults, nothing violated")
        return 0
    _report(Failure(scenario.seed, violations), options.plant, options.keep)
    return 1


def _many(seeds: range, jobs: int, plant: str) -> int:
    every = max(1, len(seeds) // MANY_S)
    told = 0

    def progress(done: int) -> None:
        nonlocal told
        if done >= told + every or done == len(seeds):
            told = done
            print(f"{done} of {len(seeds)} seeds", file=sys.stderr)

    failure = first_failure(seeds, jobs=jobs, plant=plant, progress=progress)
    if failure is None:
        print(f"{len(seeds)} seeds, nothing violated")
        return 0
    _report(failure, plant, None)
    return 1


def _report(failure: Failure, plant: str, keep: list[int] | None) -> None:
    """Say what was violated, and how to see it with as little around it as possible."""
    print(f"seed {failure.seed} violates:")
    for violation in failure.violations:
        print(f"  {violation}")
    if keep is None:
        keep = shortest(failure.seed, plant)
        print("The shortest schedule that does:")
        _show(draw(failure.seed).keeping(keep))
    numbers = ",".join(map(str, keep))
    planted = f" --plant {plant}" if plant else ""
    print(f"To replay it: python -m tests.simulation --seed {failure.seed} --keep {numbers}{planted} --story")


def _show(scenario: Scenario) -> None:
    nodes = ", ".join(f"{count} {node_type}" for node_type, count in scenario.counts.items())
    print(f"seed {scenario.seed}: {nodes} nodes; {scenario.conditions}, device_s={scenario.device_s}")
    for one in scenario.planned:
        print(one)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        description="Simulates datacenters in which everything goes wrong, and checks that every promise is kept.",
        epilog="A seed draws a datacenter, runs and faults; the same seed is the same history. See docs/simulator.md."
        " `scale --help`: how a datacenter grows, instead.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, metavar="N", help="simulate this seed")
    what.add_argument("--seeds", type=_range, metavar="FROM:TO", help="simulate all of these up to the first that goes wrong")
    parser.add_argument("--story", action="store_true", help="with --seed: tell what happens, message by message")
    parser.add_argument("--keep", type=_numbers, metavar="N,…", help="with --seed: only these of its runs and faults")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="with --seeds: in that many processes")
    parser.add_argument("--plant", choices=sorted(PLANTS), default="", metavar="NAME", help=_planted())
    return parser


def _planted() -> str:
    return f"plant a defect, to see that it is found: {', '.join(name for name in PLANTS if name)}"


def _range(text: str) -> range:
    first, _, last = text.partition(":")
    seeds = range(int(first), int(last))
    if not seeds:
        raise argparse.ArgumentTypeError(f"{text} holds no seed; the first is counted, the last is not")
    return seeds


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
