"""The operations of math.proto, as a Controller calls them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from Services.ComputationalNodes.MathCompute.Math_Adaptor.math_adaptor import MathAdaptor
from Services.ComputationalNodes.MathCompute.Node.arithmetic import MAX_BITS, MAX_SHIFTED_BITS
from Services.fractos.errors import OutOfRangeError
from Services.fractos.operations import Catalogue
from Services.fractos.values import from_big_integer, to_big_integer

CATALOGUE = Catalogue.from_protos()
ADAPTOR = MathAdaptor.create(CATALOGUE, Path(), Path())


def call(name: str, **arguments: int) -> int:
    operation = CATALOGUE.get(f"math.{name}")
    assert operation
    request = operation.request_class(**{field: to_big_integer(value) for field, value in arguments.items()})
    response: Any = ADAPTOR.call(operation, request)
    return from_big_integer(response.value)


def test_every_operation() -> None:
    assert call("shift_left", value=-5, bits=5000) == -5 << 5000
    assert call("factorial", n=20) == 2432902008176640000
    assert call("binomial", n=52, k=5) == 2598960
    assert call("binomial_expansion", a=2, b=-5, n=3) == -27
    assert call("power", base=-7, exponent=77) == (-7) ** 77


@pytest.mark.parametrize(
    ("name", "arguments", "field"),
    [
        ("shift_left", {"value": 1 << MAX_SHIFTED_BITS, "bits": 0}, "value"),
        ("shift_left", {"value": 0, "bits": 1 << MAX_SHIFTED_BITS}, "bits"),
        ("factorial", {"n": 1 << MAX_BITS}, "n"),
        ("binomial", {"n": 1, "k": 1 << MAX_BITS}, "k"),
        ("binomial_expansion", {"a": 1 << MAX_BITS, "b": 1, "n": 0}, "a"),
        ("power", {"base": 0, "exponent": 1 << MAX_BITS}, "exponent"),
    ],
)
def test_arguments_have_a_bound(name: str, arguments: dict[str, int], field: str) -> None:
    with pytest.raises(OutOfRangeError, match=f"^{field} has 262,152 bits|^{field} has 1,048,584 bits") as caught:
        call(name, **arguments)
    assert caught.value.field == field


def test_only_shift_left_runs_on_the_event_loop() -> None:
    assert [operation.name for operation in CATALOGUE.of_type("math") if ADAPTOR.is_inline(operation)] == ["shift_left"]
