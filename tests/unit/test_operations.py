"""The catalogue is read from the descriptors; an Adaptor must offer all of its service."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import cast

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from protos import math_pb2
from Services.fractos.adaptor import Adaptor
from Services.fractos.operations import Catalogue, is_optional, snake_case


def test_every_service_is_found_under_its_python_names() -> None:
    catalogue = Catalogue.from_protos()
    assert {"cnn", "math", "storage"} <= set(catalogue.node_types)  # and those of `new node`
    operation = catalogue.get("storage.read_image")
    assert operation is not None
    assert operation.rpc == "/mockdc.storage.v1.Storage/ReadImage"
    assert operation.required() == ["client_id", "name", "width", "height"]
    assert list(operation.outputs()) == ["image"]
    assert "application.submit" not in catalogue


def test_repeatability_is_what_the_proto_declares() -> None:
    catalogue = Catalogue.from_protos()
    ours = (operation for operation in catalogue if operation.node_type in {"cnn", "math", "storage"})
    assert {operation.path for operation in ours if not operation.repeatable} == {"cnn.train"}


def test_optional_arguments_are_those_the_proto_calls_so() -> None:
    catalogue = Catalogue.from_protos()
    optional = {
        f"{operation.path}.{name}"
        for operation in catalogue
        for name, field in operation.arguments().items()
        if is_optional(field)
    }
    assert {"cnn.predict.model", "storage.list.prefix"} < optional
    assert "cnn.predict.image" not in optional


@pytest.mark.parametrize(
    ("name", "snake"),
    [("ReadImage", "read_image"), ("List", "list"), ("GetURL2Now", "get_url2_now"), ("already_so", "already_so")],
)
def test_snake_case(name: str, snake: str) -> None:
    assert snake_case(name) == snake


def test_two_rpcs_of_one_python_name_are_refused() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="clash.proto", package="clash", syntax="proto3")
    file.message_type.add(name="Empty")
    service = file.service.add(name="Clash")
    for name in ("ReadIt", "read_it"):
        service.method.add(name=name, input_type=".clash.Empty", output_type=".clash.Empty")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    module = cast(ModuleType, SimpleNamespace(__name__="clash_pb2", DESCRIPTOR=pool.FindFileByName("clash.proto")))
    with pytest.raises(ValueError, match=r"both clash\.read_it"):
        Catalogue([module])


def test_an_adaptor_without_all_methods_is_refused() -> None:
    class Half(Adaptor):
        node_type = "math"

        def factorial(self, request: math_pb2.FactorialRequest) -> math_pb2.FactorialResponse:
            return math_pb2.FactorialResponse()

    with pytest.raises(TypeError, match="no method for shift_left, binomial, binomial_expansion, power"):
        Half(Catalogue.from_protos())
