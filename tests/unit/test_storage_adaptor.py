"""The operations of storage.proto, as a Controller calls them."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image

from protos import fractos_pb2, storage_pb2
from Services.fractos.errors import (
    DataLossError,
    FailedPreconditionError,
    FractosError,
    InvalidArgumentError,
    OutOfRangeError,
    ResourceExhaustedError,
)
from Services.fractos.operations import Catalogue
from Services.fractos.step import Step
from Services.fractos.values import from_big_integer, from_tensor, to_big_integer, to_tensor
from Services.StorageNode.Storage_Adaptor.storage_adaptor import StorageAdaptor
from tests.unit.storage_steps import step

CATALOGUE = Catalogue.from_protos()


class Client:
    """Calls operations by name, with the client_id filled in."""

    def __init__(self, adaptor: StorageAdaptor) -> None:
        self._adaptor = adaptor

    def __call__(self, operation_name: str, step: Step | None = None, /, **arguments: Any) -> Any:
        operation = CATALOGUE.get(f"storage.{operation_name}")
        assert operation
        return self._adaptor.call(operation, operation.request_class(client_id="admin", **arguments), step)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "storage"


@pytest.fixture
def call(tmp_path: Path, folder: Path) -> Iterator[Client]:
    adaptor = StorageAdaptor.create(CATALOGUE, tmp_path, folder)
    adaptor.start()
    yield Client(adaptor)
    adaptor.stop()


def test_bytes_texts_and_integers(call: Client, folder: Path) -> None:
    call("write_bytes", name="b", data=b"\0\xff")
    call("write_text", name="sub/t", text="grüße\r\n")
    call("write_integer", name="n", value=to_big_integer(-(10**5000)))
    assert call("read_bytes", name="b").data == b"\0\xff"
    assert call("read_text", name="sub/t").text == "grüße\r\n"
    assert from_big_integer(call("read_integer", name="n").value) == -(10**5000)
    assert (folder / "admin" / "n").read_text() == "-1" + "0" * 5000
    assert list(call("list").names) == ["b", "n", "sub/t"]
    assert list(call("list", prefix="sub").names) == ["sub/t"]
    assert call("delete", name="b").deleted
    assert not call("delete", name="b").deleted


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("write_bytes", {"data": b"1"}),
        ("write_text", {"text": "1"}),
        ("write_integer", {"value": to_big_integer(1)}),
        ("append_text", {"text": "1"}),
        ("write_tensor", {"tensor": to_tensor(numpy.ones(3))}),
        ("delete", {}),
    ],
)
def test_each_change_is_made_once_for_a_step(call: Client, folder: Path, operation: str, arguments: dict[str, Any]) -> None:
    answer = call(operation, step("run/1"), name="a", **arguments)
    call("write_text", name="a", text="another run's")
    assert call(operation, step("run/1"), name="a", **arguments) == answer
    assert (folder / "admin" / "a").read_text() == "another run's"
    call(operation, name="a", **arguments)  # outside any run
    assert [path.read_bytes() for path in (folder / "admin").iterdir()] != [b"another run's"]


def test_texts_are_appended_once_for_a_step(tmp_path: Path) -> None:
    adaptor = StorageAdaptor.create(CATALOGUE, tmp_path, tmp_path / "storage")
    adaptor.start()
    adaptor.recover()
    operation = CATALOGUE.get("storage.append_text")
    assert operation
    request = storage_pb2.AppendTextRequest(client_id="admin", name="a", text="ü")
    steps = (step("run/1"), step("run/1"), step("run/2"), None, None)
    answers = [adaptor.call(operation, request, one) for one in steps]
    assert [getattr(answer, "size_bytes", None) for answer in answers] == [2, 2, 4, 6, 8]
    assert list((tmp_path / "storage" / "admin").iterdir()) == [tmp_path / "storage" / "admin" / "a"]
    adaptor.stop()


def test_an_image_is_a_tensor(call: Client) -> None:
    pixels = numpy.arange(6 * 4 * 3, dtype=numpy.uint8).reshape(4, 6, 3)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    call("write_bytes", name="p.png", data=buffer.getvalue())
    image = call("read_image", name="p.png", width=6, height=4).image
    assert image.dtype == "uint8"
    assert (from_tensor(image) == pixels).all()
    assert from_tensor(call("read_image", name="p.png", width=128, height=64).image).shape == (64, 128, 3)
    call("write_bytes", name="cut.png", data=buffer.getvalue()[:60])


def test_arrays(call: Client, folder: Path) -> None:
    array = numpy.arange(6, dtype=numpy.float32).reshape(2, 3)
    call("write_tensor", name="a.npy", tensor=to_tensor(array))
    found = from_tensor(call("read_tensor", name="a.npy").tensor)
    assert (found.dtype, found.tolist()) == (array.dtype, array.tolist())
    numpy.testing.assert_array_equal(numpy.load(folder / "admin" / "a.npy"), array)


@pytest.mark.parametrize(
    ("operation", "arguments", "error", "field"),
    [
        ("read_image", {"name": "t", "width": 8, "height": 8}, FailedPreconditionError, "name"),
        ("read_image", {"name": "cut.gif", "width": 8, "height": 8}, DataLossError, "name"),
        ("read_image", {"name": "cut.gif", "width": 0, "height": 8}, OutOfRangeError, "width"),
        ("read_integer", {"name": "t"}, FailedPreconditionError, "name"),
        ("read_text", {"name": "cut.gif"}, FailedPreconditionError, "name"),
        ("write_integer", {"name": "n", "value": to_big_integer(1 << 4_000_000)}, OutOfRangeError, "value"),
        ("read_tensor", {"name": "t"}, FailedPreconditionError, "name"),
        (
            "write_tensor",
            {"name": "n", "tensor": fractos_pb2.Tensor(dtype="float64", shape=[2])},
            InvalidArgumentError,
            "tensor",
        ),
        ("write_tensor", {"name": "n", "tensor": to_tensor(numpy.zeros(2**26, bool))}, ResourceExhaustedError, "tensor"),
        ("write_text", {"name": "big", "text": "a" * (2**26 + 1)}, ResourceExhaustedError, "text"),
        ("write_bytes", {"name": "big", "data": bytes(2**26 + 1)}, ResourceExhaustedError, "data"),
    ],
)
def test_errors_name_the_argument(
    call: Client, operation: str, arguments: dict[str, Any], error: type[FractosError], field: str
) -> None:
    call("write_text", name="t", text="text")
    call("write_bytes", name="cut.gif", data=b"GIF89a\x10\0\x10\0\xff\xff")
    with pytest.raises(error) as caught:
        call(operation, **arguments)
    assert caught.value.field == field
    assert list(call("list").names) == ["cut.gif", "t"]


def test_the_largest_value_may_be_written(call: Client, folder: Path) -> None:
    call("write_bytes", name="big", data=bytes(2**26))
    assert (folder / "admin" / "big").stat().st_size == 2**26


def test_a_storage_node_loads_no_numpy() -> None:
    """It has 70 MB."""
    program = "import sys, Services.StorageNode.Storage_Adaptor.storage_adaptor; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])
