"""What `new` writes, what it refuses, and that nothing has changed then. The tutorial's last chapter runs what it makes."""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from Services.datacenter import new, new_node, next_command
from Services.datacenter.screen import Screen
from Services.fractos.config import CODE_ROOT, CONFIGURATION_FILE, load
from Services.fractos.errors import AlreadyExistsError, FailedPreconditionError, FractosError, InvalidArgumentError

CONTROLLERS = "cnn_controller, math_controller, application_controller, storage_controller"
CONFIGURATION = "[DataCenter]\n# Who we are.\nname = mine\n\n[Controllers]\n# In any order.\n"
CONFIGURATION += f"controller_names = {CONTROLLERS}\n"
CONFIGURATION += "".join(
    f"\n[{name}]\n# Where it is.\npaths_to_controller = node.py  # ours\nverbose = True\nzookeeper = True\n"
    for name in CONTROLLERS.split(", ")
)
GENERATED = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """As much of a copy of the project as `new` looks at, in a folder of its own."""
    for folder in ("protos", "Services/ComputationalNodes/MathCompute", "Applications/plain_grpc"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("protos/fractos.proto", "Applications/shift_left.py", new.TEMPLATE):
        shutil.copy(CODE_ROOT / file, tmp_path / file)
    (tmp_path / CONFIGURATION_FILE).write_text(CONFIGURATION)
    (tmp_path / "node.py").write_text('"""A node."""\n')
    return tmp_path


def make(root: Path, kind: str, name: str) -> str:
    """Make something new; returns what was said."""
    said = io.StringIO()
    assert new.run_new(load(root), argparse.Namespace(kind=kind, name=name), Screen(said)) == 0
    return said.getvalue()


def everything(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_node_is_all_that_a_node_needs(root: Path) -> None:
    before = everything(root)
    said = make(root, "node", "matrix_sort")
    folder = root / "Services/ComputationalNodes/MatrixSort"
    made = everything(root).keys() - before.keys()
    assert made == {root / f"protos/matrix_sort{ending}" for ending in (".proto", *GENERATED)} | {
        folder / name
        for name in (
            "__init__.py",
            "Node/__init__.py",
            "Node/device.py",
            "MatrixSort_Adaptor/__init__.py",
            "MatrixSort_Adaptor/matrix_sort_adaptor.py",
            "MatrixSort_Controller/__init__.py",
            "MatrixSort_Controller/matrix_sort_controller.py",
        )
    }
    assert all(f"wrote {path.relative_to(root)}\n" in said for path in made)
    changed = load(root).controller("matrix_sort")
    assert changed
    assert changed.paths == (folder / "MatrixSort_Controller/matrix_sort_controller.py",)
    assert {path for path, content in everything(root).items() if before.get(path, content) != content} == {
        root / CONFIGURATION_FILE
    }


@pytest.mark.parametrize("name", ["sort", "a" * new.LONGEST_NAME])
def test_what_is_made_passes_the_checks_of_the_project(root: Path, name: str) -> None:
    shutil.copy(CODE_ROOT / "pyproject.toml", root)
    shutil.copytree(CODE_ROOT / "Services/fractos", root / "Services/fractos")  # so that ruff knows what is ours
    make(root, "node", name)
    make(root, "application", name)
    for check in (["check"], ["format", "--check"]):
        ended = subprocess.run(
            [sys.executable, "-m", "ruff", *check, "."], cwd=root, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout


def test_the_generated_code_is_what_make_protos_generates(root: Path) -> None:
    make(root, "node", "sort")
    made = {path: path.read_text() for path in (root / "protos").glob("sort_pb2*")}
    assert {path.name for path in made} == {f"sort{ending}" for ending in GENERATED}
    outputs = [f"--{kind}=." for kind in ("python_out", "pyi_out", "grpc_python_out")]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", *outputs, "protos/sort.proto"]
    subprocess.run(command, cwd=root, check=True)
    assert {path: path.read_text() for path in made} == made


def test_without_the_generator_it_says_what_to_type(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new, "can_generate", lambda: False)
    monkeypatch.setattr(new_node, "can_generate", lambda: False)
    said = make(root, "node", "sort")
    assert not list((root / "protos").glob("sort_pb2*"))
    assert f"grpcio-tools is missing; before anything else type:\n  {sys.executable} -m pip install grpcio-tools\n" in said
    assert f"  cd {root} && make protos\n" in said


def test_an_application_is_the_template_under_its_own_name(root: Path) -> None:
    said = make(root, "application", "first_try")
    text = (root / "Applications/first_try.py").read_text()
    assert text.startswith('"""A program for the mock datacenter: `python3 Applications/first_try.py`."""\n')
    assert 'TaskGraph("first try")' in text
    assert "template" not in text
    assert said.startswith("wrote Applications/first_try.py\n")
    assert said.endswith(f"  python3 {root}/Applications/first_try.py\n")


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        ("node", "Sort", "did you mean sort?"),
        ("node", "matrix-sort", "did you mean matrix_sort?"),
        ("node", "_sort", "did you mean sort?"),
        ("node", "1st", "a letter first"),
        ("node", "../sort", "did you mean sort?"),
        ("node", "", "1 to 20 small letters"),
        ("node", "sörter", "small letters"),
        ("node", "a" * (new.LONGEST_NAME + 1), "1 to 20 small letters"),
        ("node", "import", "no word of Python's own"),
        ("node", "output", "means something else"),
        ("node", "fractos", "means something else"),
        ("node", "client", "means something else"),
        ("node", "none", "means something else"),
        ("node", "true", "means something else"),
        ("application", "Mine", "did you mean mine?"),
        ("application", "random", "in place of the Python module"),
        ("application", "numpy", "in place of the Python module"),
    ],
)
def test_a_name_that_cannot_be_is_refused(root: Path, kind: str, name: str, says: str) -> None:
    refused(root, kind, name, InvalidArgumentError, says)


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        ("node", "math", "[math_controller] is in"),
        ("node", "math_compute", "MathCompute is there already"),
        ("application", "shift_left", "shift_left.py is there already"),
        ("application", "plain_grpc", "plain_grpc is there already"),
    ],
)
def test_a_name_that_is_taken_is_refused(root: Path, kind: str, name: str, says: str) -> None:
    refused(root, kind, name, AlreadyExistsError, says)


def refused(root: Path, kind: str, name: str, error: type[FractosError], says: str) -> None:
    before = everything(root)
    with pytest.raises(error) as caught:
        make(root, kind, name)
    assert says in str(caught.value)
    assert everything(root) == before


def test_a_failure_takes_everything_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = everything(root)
    folders = {path for path in root.rglob("*") if path.is_dir()}

    def fail(path: Path, content: str) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(new, "write_atomically", fail)
    with pytest.raises(OSError, match="No space left"):
        make(root, "node", "sort")
    assert everything(root) == before
    assert {path for path in root.rglob("*") if path.is_dir()} == folders


@pytest.mark.parametrize(
    "names",
    [
        f"controller_names = {CONTROLLERS}",
        f"controller_names:{CONTROLLERS},  # all of them",
        "Controller_Names =\n    # in any order\n    " + CONTROLLERS.replace(", ", ",\n    ", 2),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_configuration_keeps_its_comments_however_it_is_written(root: Path, names: str, end: str) -> None:
    path = root / CONFIGURATION_FILE
    text = path.read_text().replace(f"controller_names = {CONTROLLERS}", names).replace("\n", end)
    path.write_bytes(text.encode())
    make(root, "node", "sort")
    changed = path.read_bytes().decode()
    assert {one.node_type for one in load(root).controllers} == {"sort", "cnn", "math", "application", "storage"}
    assert changed.count("\n") == changed.count(end)
    kept, _, added = changed.partition(f"{end}{end}[sort_controller]{end}")
    assert kept.replace("sort_controller, ", "").splitlines() == text.rstrip().splitlines()
    assert added.splitlines()[1:] == ["replicas = 1", "verbose = True", "zookeeper = True"]


def test_the_section_agrees_with_the_others_about_the_directory(root: Path) -> None:
    path = root / CONFIGURATION_FILE
    path.write_text(path.read_text().replace("zookeeper = True", "zookeeper = False"))
    make(root, "node", "sort")
    assert load(root).directory_kind == "files"


def test_a_configuration_that_is_not_understood_is_left_alone(root: Path) -> None:
    path = root / CONFIGURATION_FILE
    path.write_text(path.read_text().replace("controller_names =", "  controller_names ="))
    refused(root, "node", "sort", FailedPreconditionError, "written in a way")


def test_a_datacenter_elsewhere_gets_the_section_and_this_project_the_code(
    root: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / CONFIGURATION_FILE).write_text(CONFIGURATION.replace("node.py", str(root / "node.py")))
    for module in (new, next_command):
        monkeypatch.setattr(module, "CODE_ROOT", root)
    assert f"  MOCKDC_PATH={elsewhere} python3 Applications/mine.py\n" in make(elsewhere, "application", "mine")
    said = make(elsewhere, "node", "sort")
    assert f"added [sort_controller] to {elsewhere / CONFIGURATION_FILE}" in said
    assert f"  python3 run_datacenter.py up --path {elsewhere}\n" in said
    assert (root / "protos/sort.proto").is_file()
    assert [path.name for path in elsewhere.iterdir()] == [CONFIGURATION_FILE]
