"""`run_datacenter.py runs` and `trace`: what runs there are, and what happened to one."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import time
from pathlib import Path

from protos import application_pb2
from Services.datacenter.screen import Screen
from Services.datacenter.tracing.exported import run_as_json, trace_as_json
from Services.datacenter.tracing.finding import LAST, find_id, find_run
from Services.datacenter.tracing.html import to_html
from Services.datacenter.tracing.listing import runs_table
from Services.datacenter.tracing.options import STATES
from Services.datacenter.tracing.perfetto import to_perfetto
from Services.datacenter.tracing.story import NARROWEST, story
from Services.datacenter.tracing.trace import Trace
from Services.datacenter.tracing.waterfall import ASCII, BLOCKS
from Services.fractos.config import Configuration
from Services.fractos.oversight import overseeing

STANDARD_OUTPUT = Path("-")
PIPED_WIDTH = 100  # columns of a trace where there is no terminal


def run_runs(configuration: Configuration, options: argparse.Namespace, screen: Screen) -> int:
    """List runs. Raises UnavailableError if the datacenter does not run."""
    runs = asyncio.run(_list(configuration, options.limit, options.state))
    runs.sort(key=lambda run: -run.submitted_at)
    if options.json:
        print(json.dumps({"runs": [run_as_json(run) for run in runs]}, indent=2))
    elif runs:
        screen.show(runs_table(runs, time.time(), screen.width))
    else:
        screen.say(f"no run is {options.state}" if options.state else "there was no run yet; submit one with an application")
    return 0


def run_trace(configuration: Configuration, options: argparse.Namespace, screen: Screen) -> int:
    """Tell what happened to a run. Raises what `find_run` does, and OSError if a file cannot be written."""
    trace = asyncio.run(_trace(configuration, options.run))
    if options.json:
        print(json.dumps(trace_as_json(trace), indent=2))
    elif options.perfetto is not None:
        _write(options.perfetto, json.dumps(to_perfetto(trace)), "https://ui.perfetto.dev", screen)
    elif options.html is not None:
        _write(options.html, to_html(trace), "a browser", screen)
    else:
        width = shutil.get_terminal_size((PIPED_WIDTH, 24)).columns
        encoding = sys.stdout.encoding.lower().replace("-", "")
        marks = BLOCKS if encoding.startswith("utf") else ASCII
        for line in story(trace, configuration.root, max(width, NARROWEST), marks):
            screen.show(line)
    return 0


def last_run(configuration: Configuration) -> str:
    """The id of the newest run. Raises what `find_id` does."""
    return asyncio.run(_last(configuration))


def _write(path: Path, text: str, place: str, screen: Screen) -> None:
    """Write a file and say where to open it; `-` is the standard output, which gets nothing else then."""
    if path == STANDARD_OUTPUT:
        print(text)
        return
    path.write_text(text, encoding="utf-8")
    screen.say(f"{path} is written; open it in {place}")


async def _list(configuration: Configuration, limit: int, state: str | None) -> list[application_pb2.RunInfo]:
    async with overseeing(configuration) as oversight:
        return await oversight.runs(limit, STATES[state] if state else application_pb2.RUN_STATE_UNSPECIFIED)


async def _last(configuration: Configuration) -> str:
    async with overseeing(configuration) as oversight:
        return await find_id(oversight, LAST, configuration.root)


async def _trace(configuration: Configuration, written: str) -> Trace:
    async with overseeing(configuration) as oversight:
        return Trace.of(await find_run(oversight, written, configuration.root), time.time())
