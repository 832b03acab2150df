"""The files of a new kind of node, made from `templates/node/`. Used by `new`."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from pathlib import Path
from string import Template

from Services.datacenter.modules import run_module

TEMPLATES = Path(__file__).parent / "templates/node"
PROTOC = "grpc_tools.protoc"  # for development: who only uses a datacenter can go without


def class_name(name: str) -> str:
    """What the classes of a kind of node begin with, and its folder is called."""
    return "".join(word.capitalize() for word in name.split("_"))


def folder_of(name: str) -> Path:
    """The folder of a kind of node, relative to the project's."""
    return Path("Services/ComputationalNodes") / class_name(name)


def proto_file(name: str) -> Path:
    """Its proto, relative to the project's folder."""
    return Path("protos") / f"{name}.proto"


def device_file(name: str) -> Path:
    """Its Device, relative to the project's folder."""
    return folder_of(name) / "Node/device.py"


def adaptor_file(name: str) -> Path:
    """Its Adaptor, relative to the project's folder."""
    return folder_of(name) / f"{class_name(name)}_Adaptor" / f"{name}_adaptor.py"


def controller_script(name: str) -> Path:
    """The script that starts a node of that kind, relative to the project's folder."""
    return folder_of(name) / f"{class_name(name)}_Controller" / f"{name}_controller.py"


def can_generate() -> bool:
    """Whether code can be generated from a proto here."""
    return importlib.util.find_spec("grpc_tools") is not None


def node_files(home: Path, name: str) -> dict[Path, str]:
    """The contents of all files of a kind of node, by their paths relative to the project's folder, `home`.

    Without grpcio-tools those that are generated are left out. Raises FailedPreconditionError if the generator fails.
    """
    proto, device, adaptor, controller = proto_file(name), device_file(name), adaptor_file(name), controller_script(name)
    files = {
        proto: _filled("service.proto.txt", name),
        folder_of(name) / "__init__.py": f'"""The {name} node."""\n',
        device.with_name("__init__.py"): f'"""The {name} Device, plain Python."""\n',
        device: _filled("device.py.txt", name),
        adaptor.with_name("__init__.py"): f'"""The {name} Adaptor: operations as calls of the Device."""\n',
        adaptor: _filled("adaptor.py.txt", name),
        controller.with_name("__init__.py"): f'"""The {name} Controller: the program that runs a {name} node."""\n',
        controller: _filled("controller.py.txt", name),
    }
    return files | (_generated(home, proto, files[proto]) if can_generate() else {})


def _generated(home: Path, proto: Path, text: str) -> dict[Path, str]:
    """What `make protos` generates from one proto."""
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        (place / proto).parent.mkdir()
        (place / proto).write_text(text, encoding="utf-8")
        outputs = [f"--{kind}={place}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
        run_module(PROTOC, [f"-I{place}", f"-I{home}", *outputs, str(place / proto)], os.environ)
        made = sorted(path for path in (place / proto.parent).iterdir() if path.name != proto.name)
        return {proto.parent / path.name: path.read_text(encoding="utf-8") for path in made}


def _filled(template: str, name: str) -> str:
    return Template((TEMPLATES / template).read_text(encoding="utf-8")).substitute(name=name, Name=class_name(name))
