"""The arrows of the house: who may import whom, and what the engine must never touch."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path
    for folder in ("Services", "Applications")
    for path in (ROOT / folder).rglob("*.py")
    if "storage" not in path.relative_to(ROOT).parts
)
PURE = (
    "admission", "attempts", "bill", "capability", "centre", "delivery", "ended_runs", "engine", "events", "farewell",
    "graph", "guard", "large_values", "ledger", "limits", "links", "memory_reference", "memory_room", "memory_scope",
    "network_rules", "onward", "operations", "placement", "plan", "plans", "records", "reports", "run", "runs", "schedule",
    "tally", "tenure", "topology", "trace_context", "transport/link", "values",
)  # fmt: skip
IMPURE = {
    "asyncio", "concurrent", "grpc", "kazoo", "multiprocessing", "os", "pathlib", "psutil", "random", "selectors", "signal",
    "socket", "subprocess", "tempfile", "threading", "time", "uuid",
}  # fmt: skip


@cache
def imports(path: Path) -> set[str]:
    """The modules that a file imports, those of the project with their full dotted names."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def house(module: str) -> str:
    """Which part of the project a module belongs to; empty for the rest of the world."""
    parts = module.split(".")
    if parts[0] == "Services" and len(parts) > 1:
        return ".".join(parts[: 3 if parts[1] == "ComputationalNodes" else 2])
    return parts[0] if parts[0] in {"protos", "Applications", "run_datacenter"} else ""


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


ALLOWED = {
    "Services.fractos": {"protos"},
    "Services.datacenter": {"Services.fractos", "protos"},
    "Services.pictures": {"Services.fractos"},
    "Services.StorageNode": {"Services.fractos", "Services.pictures", "protos"},
    "Services.ComputationalNodes": {"Services.fractos", "protos"},  # each of them, unless it has a line of its own
    "Services.ComputationalNodes.CNN": {"Services.fractos", "Services.pictures", "protos"},
    "Applications": {"Services.fractos", "protos"},
}


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_arrows_point_one_way(path: Path) -> None:
    own = house(module_of(path))
    reached = {house(module) for module in imports(path)} - {"", own}
    allowed = ALLOWED.get(own, ALLOWED.get(own.rpartition(".")[0], set()))
    assert reached <= allowed, f"{module_of(path)} reaches {reached - allowed}"


@pytest.mark.parametrize("name", PURE)
def test_the_engine_does_no_io(name: str) -> None:
    touched = {module.partition(".")[0] for module in imports(ROOT / "Services" / "fractos" / f"{name}.py")} & IMPURE
    assert not touched


@pytest.mark.parametrize("name", ["charts", "findings", "measuring", "peers", "results", "rules"])
def test_what_figures_say_is_worked_out_without_io(name: str) -> None:
    path = ROOT / "Services" / "datacenter" / "bench" / f"{name}.py"
    assert not {module.partition(".")[0] for module in imports(path)} & IMPURE


@pytest.mark.parametrize("name", ["activity", "doors", "notices", "picture", "run_view"])
def test_what_the_dashboard_shows_and_whom_it_lets_in_is_worked_out_without_io(name: str) -> None:
    path = ROOT / "Services" / "datacenter" / "dashboard" / f"{name}.py"
    assert not {module.partition(".")[0] for module in imports(path)} & IMPURE


@pytest.mark.parametrize(
    "name", ["graph_drawing", "layout", "mermaid", "picture", "sequence", "sequence_drawing", "style", "svg", "text"]
)
def test_what_drawings_show_is_worked_out_without_io(name: str) -> None:
    path = ROOT / "Services" / "datacenter" / "drawing" / f"{name}.py"
    assert not {module.partition(".")[0] for module in imports(path)} & IMPURE


def test_the_engine_reaches_pure_modules_only() -> None:
    allowed = {*PURE, "errors", "directory"}
    for name in PURE:
        modules = imports(ROOT / "Services" / "fractos" / f"{name}.py")
        reached = {module.split(".")[2] for module in modules if module.startswith("Services.fractos.")}
        assert reached <= allowed, name


@pytest.mark.parametrize(
    ("package", "where"),
    [
        ("tensorflow", "Services/ComputationalNodes/CNN/Node"),
        ("PIL", "Services/pictures.py Services/ComputationalNodes/CNN/Node"),
        ("matplotlib", "Services/ComputationalNodes/CNN/Node Services/datacenter/bench/plots.py"),
        ("kazoo", "Services/fractos/directory"),
        ("prometheus_client", "Services/fractos/metrics.py Services/fractos/telemetry.py"),
        ("opentelemetry", "Services/fractos/run_spans.py Services/fractos/span_sender.py"),
        ("aiohttp", "Services/datacenter/dashboard"),
    ],
)
def test_heavy_packages_stay_in_their_rooms(package: str, where: str) -> None:
    users = {
        str(path.relative_to(ROOT)) for path in SOURCES if any(module.partition(".")[0] == package for module in imports(path))
    }
    assert users
    assert all(user.startswith(tuple(where.split())) for user in users), users


def test_devices_are_plain_python() -> None:
    for path in SOURCES:
        if path.parent.name == "Node":
            touched = {module.partition(".")[0] for module in imports(path)} & {"grpc", "kazoo", "protos"}
            assert not touched, f"{module_of(path)} imports {touched}"


def test_no_cycles() -> None:
    """Depth-first over module imports: no way leads back."""
    graph = {module_of(path).removesuffix(".__init__"): imports(path) for path in SOURCES}
    edges = {
        name: {other for module in reached for other in (module, module.rpartition(".")[0]) if other in graph and other != name}
        for name, reached in graph.items()
    }
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " → ".join((*way, name))
        if name not in done:
            for other in edges[name]:
                visit(other, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize(
    "name",
    [
        "critical_path", "happened_graph", "happened_messages", "html", "html_style", "html_waterfall",
        "messages", "parts", "trace",
    ],
)  # fmt: skip
def test_what_happened_to_a_run_is_worked_out_without_io(name: str) -> None:
    path = ROOT / "Services" / "datacenter" / "tracing" / f"{name}.py"
    assert not {module.partition(".")[0] for module in imports(path)} & IMPURE
