from protos import fractos_pb2 as _fractos_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ShiftLeftRequest(_message.Message):
    __slots__ = ("value", "bits")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    BITS_FIELD_NUMBER: _ClassVar[int]
    value: _fractos_pb2.BigInteger
    bits: _fractos_pb2.BigInteger
    def __init__(self, value: _Optional[_Union[_fractos_pb2.BigInteger, _Mapping]] = ..., bits: _Optional[_Union[_fractos_pb2.BigInteger, _Mapping]] = ...) -> None: ...

class ShiftLeftResponse(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: _fractos_pb2.BigInteger
    def __init__(self, value: _Optional[_Union[_fractos_pb2.BigInteger, _Mapping]] = ...) -> None: ...

class FactorialRequest(_message.Message):
    __slots__ = ("n",)
    N_FIELD_NUMBER: _ClassVar[int]
    n: _fractos_pb2.BigInteger
    def __init__(self, n: _Optional[_Union[_fractos_pb2.BigInteger, _Mapping]] = ...) -> None: ...

class FactorialResponse(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: _fractos_pb2.BigInteger
    def __init__(self, value: _Optional[_Union[_fractos_pb2.BigInteger, _Mapping]] = ...) -> None: ...

class BinomialRequest(_message.Message):
    __slots__ = ("n", "k")
    N_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    n: _fractos_pb2.BigInteger
    k: _fractos_pb2.BigInteger
    def __init__(self, n: _Optional[_Union[_fractos_pb2.BigInteger, _Mapping]] = ..., k: _Optional[_Union[_fractos_pb2.BigInteger, _Mapping]] = ...) -> None: ...

class BinomialResponse(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: _fractos_pb2.BigInteger
    def __init__(self, value: _Optional[_Union[_fractos_pb2.BigInteger, _Mapping]] = ...) -> None: ...

class BinomialExpansionRequest(_message.Message):
    __slots__ = ("a", "b", "n")
    A_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    a: _fractos_pb2.BigInteger
    b: _fractos_pb2.BigInteger
    n: _fractos_pb2.BigInteger
    def __init__(self, a: _Optional[_Union[_fractos_pb2.BigInteger, _Mapping]] = ..., b: _Optional[_Union[_fractos_pb2.BigInteger, _Mapping]] = ..., n: _Optional[_Union[_fractos_pb2.BigInteger, _Mapping]] = ...) -> None: ...

class BinomialExpansionResponse(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: _fractos_pb2.BigInteger
    def __init__(self, value: _Optional[_Union[_fractos_pb2.BigInteger, _Mapping]] = ...) -> None: ...

class PowerRequest(_message.Message):
    __slots__ = ("base", "exponent")
    BASE_FIELD_NUMBER: _ClassVar[int]
    EXPONENT_FIELD_NUMBER: _ClassVar[int]
    base: _fractos_pb2.BigInteger
    exponent: _fractos_pb2.BigInteger
    def __init__(self, base: _Optional[_Union[_fractos_pb2.BigInteger, _Mapping]] = ..., exponent: _Optional[_Union[_fractos_pb2.BigInteger, _Mapping]] = ...) -> None: ...

class PowerResponse(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: _fractos_pb2.BigInteger
    def __init__(self, value: _Optional[_Union[_fractos_pb2.BigInteger, _Mapping]] = ...) -> None: ...

class ScaleRequest(_message.Message):
    __slots__ = ("tensor", "factor")
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    FACTOR_FIELD_NUMBER: _ClassVar[int]
    tensor: _fractos_pb2.Tensor
    factor: float
    def __init__(self, tensor: _Optional[_Union[_fractos_pb2.Tensor, _Mapping]] = ..., factor: _Optional[float] = ...) -> None: ...

class ScaleResponse(_message.Message):
    __slots__ = ("tensor",)
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    tensor: _fractos_pb2.Tensor
    def __init__(self, tensor: _Optional[_Union[_fractos_pb2.Tensor, _Mapping]] = ...) -> None: ...

class CropRequest(_message.Message):
    __slots__ = ("image", "top", "left", "height", "width")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    image: _fractos_pb2.Tensor
    top: int
    left: int
    height: int
    width: int
    def __init__(self, image: _Optional[_Union[_fractos_pb2.Tensor, _Mapping]] = ..., top: _Optional[int] = ..., left: _Optional[int] = ..., height: _Optional[int] = ..., width: _Optional[int] = ...) -> None: ...

class CropResponse(_message.Message):
    __slots__ = ("image",)
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    image: _fractos_pb2.Tensor
    def __init__(self, image: _Optional[_Union[_fractos_pb2.Tensor, _Mapping]] = ...) -> None: ...

class SimilarityRequest(_message.Message):
    __slots__ = ("a", "b", "threshold")
    A_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    a: _fractos_pb2.Tensor
    b: _fractos_pb2.Tensor
    threshold: float
    def __init__(self, a: _Optional[_Union[_fractos_pb2.Tensor, _Mapping]] = ..., b: _Optional[_Union[_fractos_pb2.Tensor, _Mapping]] = ..., threshold: _Optional[float] = ...) -> None: ...

class SimilarityResponse(_message.Message):
    __slots__ = ("value", "verdict")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    value: float
    verdict: str
    def __init__(self, value: _Optional[float] = ..., verdict: _Optional[str] = ...) -> None: ...
