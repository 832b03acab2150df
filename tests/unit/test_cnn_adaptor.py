"""What a CNN node answers without a model and to bad arguments. No TensorFlow is needed for that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from protos import cnn_pb2 as pb
from Services.ComputationalNodes.CNN.CNN_Adaptor.cnn_adaptor import NODE, CnnAdaptor
from Services.ComputationalNodes.CNN.Node.samples import draw_samples
from Services.fractos.errors import FailedPreconditionError, FractosError, InvalidArgumentError
from Services.fractos.operations import Catalogue
from Services.fractos.values import to_tensor

IMAGE = to_tensor(np.zeros((128, 128, 3), np.uint8))


@pytest.fixture
def adaptor(tmp_path: Path) -> CnnAdaptor:
    """The Adaptor of an empty datacenter."""
    return CnnAdaptor.create(Catalogue.from_protos(), tmp_path, tmp_path / "storage")


@pytest.mark.parametrize(
    ("request_message", "remedy"),
    [
        (pb.PredictRequest(image=IMAGE), "train it with `python3 run_datacenter.py train --dataset FOLDER`"),
        (pb.PredictRequest(image=IMAGE, model="birds"), "run_datacenter.py train --dataset FOLDER --model birds`"),
    ],
)
def test_without_a_model_it_says_how_to_get_one(adaptor: CnnAdaptor, request_message: pb.PredictRequest, remedy: str) -> None:
    with pytest.raises(FailedPreconditionError) as caught:
        adaptor.predict(request_message)
    assert remedy in caught.value.message


def test_without_a_model_there_is_no_vector_either(adaptor: CnnAdaptor) -> None:
    with pytest.raises(FailedPreconditionError, match="there is no model 'birds'"):
        adaptor.embed(pb.EmbedRequest(image=IMAGE, model="birds"))


def test_nothing_is_known_of_a_model_that_never_was(adaptor: CnnAdaptor) -> None:
    assert adaptor.describe_model(pb.DescribeModelRequest()) == pb.DescribeModelResponse(model="default")
    assert not adaptor.cancel_training(pb.CancelTrainingRequest()).cancelled


@pytest.mark.parametrize(
    ("request_message", "kind", "said"),
    [
        (pb.TrainRequest(), InvalidArgumentError, "there is no data set"),
        (pb.TrainRequest(dataset="pets"), InvalidArgumentError, "dataset is 'pets'; give the absolute path"),
        (pb.TrainRequest(dataset="/nowhere"), InvalidArgumentError, "there is no data set /nowhere"),
        (pb.TrainRequest(epochs=0), InvalidArgumentError, "epochs is 0"),
        (pb.TrainRequest(epochs=1001), InvalidArgumentError, "epochs is 1001"),
        (pb.TrainRequest(model="../x"), InvalidArgumentError, "'../x' cannot be the name"),
    ],
)
def test_a_training_that_cannot_be_is_refused_at_once(
    adaptor: CnnAdaptor, request_message: pb.TrainRequest, kind: type[FractosError], said: str
) -> None:
    with pytest.raises(kind) as caught:
        adaptor.train(request_message)
    assert said in caught.value.message
    assert not adaptor.describe_model(pb.DescribeModelRequest()).HasField("training")


def test_too_few_pictures_are_refused_before_a_process_is_started(adaptor: CnnAdaptor, tmp_path: Path) -> None:
    draw_samples(tmp_path / NODE / "TrainingData", 3, seed=1)
    with pytest.raises(FailedPreconditionError, match="Cat 3, Dog 3"):
        adaptor.train(pb.TrainRequest())
    assert not (tmp_path / NODE / "Models").exists()
