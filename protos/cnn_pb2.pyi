from protos import fractos_pb2 as _fractos_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PredictRequest(_message.Message):
    __slots__ = ("image", "model")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    image: _fractos_pb2.Tensor
    model: str
    def __init__(self, image: _Optional[_Union[_fractos_pb2.Tensor, _Mapping]] = ..., model: _Optional[str] = ...) -> None: ...

class PredictResponse(_message.Message):
    __slots__ = ("label", "probability", "model")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    label: str
    probability: float
    model: str
    def __init__(self, label: _Optional[str] = ..., probability: _Optional[float] = ..., model: _Optional[str] = ...) -> None: ...

class EmbedRequest(_message.Message):
    __slots__ = ("image", "model")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    image: _fractos_pb2.Tensor
    model: str
    def __init__(self, image: _Optional[_Union[_fractos_pb2.Tensor, _Mapping]] = ..., model: _Optional[str] = ...) -> None: ...

class EmbedResponse(_message.Message):
    __slots__ = ("embedding", "model")
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    embedding: _fractos_pb2.Tensor
    model: str
    def __init__(self, embedding: _Optional[_Union[_fractos_pb2.Tensor, _Mapping]] = ..., model: _Optional[str] = ...) -> None: ...

class TrainRequest(_message.Message):
    __slots__ = ("dataset", "model", "epochs", "seed")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    model: str
    epochs: int
    seed: int
    def __init__(self, dataset: _Optional[str] = ..., model: _Optional[str] = ..., epochs: _Optional[int] = ..., seed: _Optional[int] = ...) -> None: ...

class TrainResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class CancelTrainingRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class CancelTrainingResponse(_message.Message):
    __slots__ = ("cancelled",)
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    cancelled: bool
    def __init__(self, cancelled: _Optional[bool] = ...) -> None: ...

class DescribeModelRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class DescribeModelResponse(_message.Message):
    __slots__ = ("model", "trained", "classes", "width", "height", "validation_accuracy", "validation_loss", "training_pictures", "validation_pictures", "skipped", "skipped_pictures", "training", "models", "skipped_by_reason", "figures")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TRAINED_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_ACCURACY_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_LOSS_FIELD_NUMBER: _ClassVar[int]
    TRAINING_PICTURES_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_PICTURES_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_PICTURES_FIELD_NUMBER: _ClassVar[int]
    TRAINING_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_BY_REASON_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    model: str
    trained: bool
    classes: _containers.RepeatedScalarFieldContainer[str]
    width: int
    height: int
    validation_accuracy: float
    validation_loss: float
    training_pictures: int
    validation_pictures: int
    skipped: _containers.RepeatedScalarFieldContainer[str]
    skipped_pictures: int
    training: Training
    models: _containers.RepeatedScalarFieldContainer[str]
    skipped_by_reason: _containers.RepeatedCompositeFieldContainer[SkippedFiles]
    figures: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, model: _Optional[str] = ..., trained: _Optional[bool] = ..., classes: _Optional[_Iterable[str]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., validation_accuracy: _Optional[float] = ..., validation_loss: _Optional[float] = ..., training_pictures: _Optional[int] = ..., validation_pictures: _Optional[int] = ..., skipped: _Optional[_Iterable[str]] = ..., skipped_pictures: _Optional[int] = ..., training: _Optional[_Union[Training, _Mapping]] = ..., models: _Optional[_Iterable[str]] = ..., skipped_by_reason: _Optional[_Iterable[_Union[SkippedFiles, _Mapping]]] = ..., figures: _Optional[_Iterable[str]] = ...) -> None: ...

class SkippedFiles(_message.Message):
    __slots__ = ("reason", "files", "names")
    REASON_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    reason: str
    files: int
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, reason: _Optional[str] = ..., files: _Optional[int] = ..., names: _Optional[_Iterable[str]] = ...) -> None: ...

class Training(_message.Message):
    __slots__ = ("state", "epoch", "epochs", "accuracy", "loss", "validation_accuracy", "validation_loss", "error", "read", "pictures")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Training.State]
        RUNNING: _ClassVar[Training.State]
        COMPLETE: _ClassVar[Training.State]
        CANCELLED: _ClassVar[Training.State]
        FAILED: _ClassVar[Training.State]
    STATE_UNSPECIFIED: Training.State
    RUNNING: Training.State
    COMPLETE: Training.State
    CANCELLED: Training.State
    FAILED: Training.State
    STATE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    ACCURACY_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_ACCURACY_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_LOSS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    PICTURES_FIELD_NUMBER: _ClassVar[int]
    state: Training.State
    epoch: int
    epochs: int
    accuracy: float
    loss: float
    validation_accuracy: float
    validation_loss: float
    error: str
    read: int
    pictures: int
    def __init__(self, state: _Optional[_Union[Training.State, str]] = ..., epoch: _Optional[int] = ..., epochs: _Optional[int] = ..., accuracy: _Optional[float] = ..., loss: _Optional[float] = ..., validation_accuracy: _Optional[float] = ..., validation_loss: _Optional[float] = ..., error: _Optional[str] = ..., read: _Optional[int] = ..., pictures: _Optional[int] = ...) -> None: ...
