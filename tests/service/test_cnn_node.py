"""A real CNN node: it trains, answers, cancels, and finds its models again. TensorFlow runs in the node's processes only."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
from PIL import Image

from protos import cnn_pb2 as pb
from protos import cnn_pb2_grpc, fractos_pb2
from Services import pictures
from Services.ComputationalNodes.CNN.CNN_Adaptor.cnn_adaptor import NODE
from Services.ComputationalNodes.CNN.Node.models import Models
from Services.ComputationalNodes.CNN.Node.samples import draw_samples
from Services.fractos.values import from_tensor, to_tensor
from tests import waiting
from tests.nodes import ROOT, Nodes, running

until = partial(waiting.until, timeout_s=60.0)
TRAINING = "Services.ComputationalNodes.CNN.Node.training"
LONG = 1000  # epochs, so that it does not end by itself while a test looks on
UNREADABLE = "Dog/broken.jpg"


@dataclass
class Cnn:
    """One CNN node, its datacenter, and a client."""

    nodes: Nodes
    stub: cnn_pb2_grpc.CnnStub

    @property
    def folder(self) -> Path:
        """Where the node keeps its models and finds its training pictures."""
        return self.nodes.root / NODE

    def image(self, kind: str = "cat", number: int = 1) -> fractos_pb2.Tensor:
        """One of the training pictures."""
        path = self.folder / "TrainingData" / kind.capitalize() / f"{kind}_image{number}.jpg"
        return to_tensor(np.asarray(pictures.decode(path.read_bytes(), 128, 128, source=str(path))))

    def predict(self, kind: str = "cat", **fields: str) -> pb.PredictResponse:
        response: pb.PredictResponse = self.stub.Predict(pb.PredictRequest(image=self.image(kind), **fields))
        return response

    def embed(self, image: fractos_pb2.Tensor) -> np.ndarray:
        return from_tensor(self.stub.Embed(pb.EmbedRequest(image=image)).embedding)

    def describe(self, model: str = "default") -> pb.DescribeModelResponse:
        response: pb.DescribeModelResponse = self.stub.DescribeModel(pb.DescribeModelRequest(model=model))
        return response

    def state(self, model: str = "default") -> int:
        return self.describe(model).training.state

    def cancel(self, model: str = "default") -> bool:
        response: pb.CancelTrainingResponse = self.stub.CancelTraining(pb.CancelTrainingRequest(model=model))
        return response.cancelled


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A datacenter with a CNN node and a few pictures to train with, one of them damaged. It has no model at first."""
    root = tmp_path_factory.mktemp("datacenter")
    training_data = root / NODE / "TrainingData"
    draw_samples(training_data, 12, seed=1)
    (training_data / UNREADABLE).write_bytes((training_data / "Dog/dog_image1.jpg").read_bytes()[:500])
    (training_data / "readme.txt").write_text("stray")
    with running(root, "cnn-0") as started:
        yield started


@pytest.fixture
def cnn(nodes: Nodes) -> Iterator[Cnn]:
    """The node as it is now, and a client of it."""
    with nodes.channel("cnn-0") as channel:
        yield Cnn(nodes, cnn_pb2_grpc.CnnStub(channel))


@pytest.fixture
def trained(cnn: Cnn) -> Cnn:
    """The same, once its default model is there: trained by the node, when a first test asks for it."""
    if not cnn.describe().trained:
        cnn.stub.Train(pb.TrainRequest(epochs=1))
        until(lambda: cnn.state() != pb.Training.RUNNING)
        assert cnn.state() == pb.Training.COMPLETE, cnn.describe()
    return cnn


def ended(process: psutil.Process) -> bool:
    """Whether a process has ended, though perhaps nobody has asked for its exit code yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def left_over(folder: Path) -> list[str]:
    return [path.name for path in (folder / "Models").iterdir() if "unfinished" in path.name]


def start_training(cnn: Cnn, *flags: str) -> subprocess.Popen[str]:
    """Run the training as the launcher does."""
    command = [sys.executable, "-m", TRAINING, "--dataset", str(cnn.folder / "TrainingData")]
    return subprocess.Popen(
        [*command, "--models", str(cnn.folder / "Models"), *flags],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def test_without_a_model_it_serves_and_says_what_to_do(cnn: Cnn) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        cnn.predict(model="never-trained")
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "python3 run_datacenter.py train --dataset FOLDER --model never-trained" in str(caught.value.details())


def test_a_trained_model_is_described_and_answers(trained: Cnn) -> None:
    description = trained.describe()
    assert list(description.classes) == ["Cat", "Dog"]
    assert (description.width, description.height) == (128, 128)
    assert (description.training_pictures, description.validation_pictures) == (20, 4)
    assert (description.training.epoch, description.training.epochs) == (1, 1)
    assert description.training.validation_loss == description.validation_loss > 0
    assert (description.training.read, description.training.pictures) == (25, 25)
    assert description.models == ["default"]
    for kind in ("cat", "dog"):
        answer = trained.predict(kind)
        assert answer.label in {"Cat", "Dog"}
        assert 0.5 <= answer.probability <= 1
        assert answer.model == "default"


def test_32_calls_at_once_get_the_answers_that_each_gets_alone(trained: Cnn) -> None:
    images = [trained.image(kind, number) for kind in ("cat", "dog") for number in range(1, 9)]
    alone = [(trained.stub.Predict(pb.PredictRequest(image=image)), trained.embed(image)) for image in images]
    assert len({answer.probability for answer, _ in alone}) == len(images)
    predictions = [trained.stub.Predict.future(pb.PredictRequest(image=image)) for image in images]
    embeddings = [trained.stub.Embed.future(pb.EmbedRequest(image=image)) for image in images]
    for (answer, vector), prediction, embedding in zip(alone, predictions, embeddings, strict=True):
        together = prediction.result()
        assert (together.label, together.model) == (answer.label, answer.model)
        assert together.probability == pytest.approx(answer.probability, abs=1e-5)
        np.testing.assert_allclose(from_tensor(embedding.result().embedding), vector, atol=1e-5)


def test_a_picture_becomes_a_vector_of_length_1_that_is_its_own(trained: Cnn) -> None:
    cat, dog = (trained.embed(trained.image(kind)) for kind in ("cat", "dog"))
    for vector in (cat, dog):
        assert vector.shape == (512,)
        assert vector.dtype == np.float32
        assert float(vector @ vector) == pytest.approx(1, abs=1e-5)
    assert float(cat @ dog) < 0.9999
    assert float(cat @ trained.embed(trained.image("cat"))) == pytest.approx(1, abs=1e-5)


def test_a_model_that_the_node_has_trained_serves_from_the_moment_it_is_complete(trained: Cnn) -> None:
    before = trained.predict()
    trained.stub.Train(pb.TrainRequest(epochs=1, seed=3))
    until(lambda: trained.state() != pb.Training.RUNNING)
    assert trained.state() == pb.Training.COMPLETE
    assert trained.predict() != before


def test_unreadable_files_are_named_and_kept(trained: Cnn) -> None:
    description = trained.describe()
    assert list(description.skipped) == [UNREADABLE]
    assert description.skipped_pictures == 1
    assert list(description.skipped_by_reason) == [pb.SkippedFiles(reason="damaged or incomplete", files=1, names=[UNREADABLE])]
    assert (trained.folder / "TrainingData" / UNREADABLE).stat().st_size == 500
    assert (trained.folder / "TrainingData/readme.txt").read_text() == "stray"


def test_the_pictures_of_the_training_are_beside_the_model(trained: Cnn) -> None:
    figures = [Path(figure) for figure in trained.describe().figures]
    assert [figure.name for figure in figures] == ["held_out_predictions.png", "training_curves.png"]
    for figure in figures:
        assert figure.parent == trained.folder / "Models/default"
        with Image.open(figure) as picture:
            assert picture.format == "PNG"
            assert picture.width > 1000
            assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 100  # something is drawn


@pytest.mark.parametrize("array", [np.zeros((64, 64, 3), np.uint8), np.zeros((128, 128, 3), np.float32), np.zeros(3, np.uint8)])
@pytest.mark.parametrize("operation", ["Predict", "Embed"])
def test_images_of_another_kind_are_refused(trained: Cnn, operation: str, array: np.ndarray) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        getattr(trained.stub, operation)(getattr(pb, f"{operation}Request")(image=to_tensor(array)))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert f"image is {array.shape} {array.dtype}" in str(caught.value.details())
    assert "(128, 128, 3) uint8" in str(caught.value.details())


def test_the_previous_model_serves_while_another_is_trained_and_after_a_cancel(trained: Cnn) -> None:
    before = trained.predict()
    trained.stub.Train(pb.TrainRequest(epochs=LONG, seed=7))
    with pytest.raises(grpc.RpcError) as caught:
        trained.stub.Train(pb.TrainRequest(model="another"))
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "this node is training model 'default'" in str(caught.value.details())
    until(lambda: trained.describe().training.epoch > 1)
    for _ in range(20):
        assert trained.predict() == before
    assert trained.state() == pb.Training.RUNNING
    assert not trained.cancel("another")
    assert trained.cancel()
    assert trained.state() == pb.Training.CANCELLED
    assert not trained.cancel()
    assert trained.predict() == before
    assert left_over(trained.folder) == []


def test_a_training_that_fails_says_why(trained: Cnn) -> None:
    with start_training(trained, "--epochs", str(LONG), "--model", "wanted") as elsewhere:
        until(lambda: left_over(trained.folder))
        trained.stub.Train(pb.TrainRequest(model="wanted"))
        until(lambda: trained.state("wanted") != pb.Training.RUNNING)
        elsewhere.terminate()
        assert elsewhere.stdout
        last = json.loads(elsewhere.stdout.read().splitlines()[-1])
    assert (last["event"], last["status"]) == ("error", "CANCELLED")
    assert elsewhere.returncode == 1
    training = trained.describe("wanted").training
    assert training.state == pb.Training.FAILED
    assert "'wanted' is being trained by another process" in training.error
    assert trained.describe().models == ["default"]


def test_a_model_that_another_process_trained_is_noticed(trained: Cnn) -> None:
    before, answer = trained.describe(), trained.predict()
    with start_training(trained, "--epochs", "1", "--seed", "9") as elsewhere:
        assert elsewhere.stdout
        events = [json.loads(line) for line in elsewhere.stdout]
    assert elsewhere.returncode == 0
    assert [event["event"] for event in events if event["event"] != "batch"] == ["reading", "skipped", "epoch", "done"]
    assert events[-1]["figures"] == list(trained.describe().figures)
    after = trained.describe()
    assert after.validation_loss == events[-1]["validation_loss"] != before.validation_loss
    until(lambda: trained.predict() != answer)
    assert trained.predict().label in {"Cat", "Dog"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_training_that_is_stopped_leaves_the_previous_model_and_nothing_else(trained: Cnn, number: signal.Signals) -> None:
    before, description = trained.predict(), trained.describe()
    with start_training(trained, "--epochs", str(LONG)) as elsewhere:
        assert elsewhere.stdout
        until(lambda: '"epoch"' in elsewhere.stdout.readline())  # type: ignore[union-attr]
        elsewhere.send_signal(number)
        elsewhere.send_signal(signal.SIGTERM)  # as the launcher does, after the Ctrl-C of a terminal has reached both
    assert elsewhere.returncode == (-number if number == signal.SIGKILL else 1)
    assert trained.predict() == before
    assert trained.describe() == description
    if number == signal.SIGKILL:
        assert size(trained.folder / "Models") == size(trained.folder / "Models/default")  # the pixels had no name
        Models(trained.folder / "Models").sweep_all()
    assert left_over(trained.folder) == []


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_node_that_starts_finds_its_models_and_a_killed_one_leaves_no_training(trained: Cnn, nodes: Nodes) -> None:
    before = trained.predict()
    trained.stub.Train(pb.TrainRequest(epochs=LONG))
    until(lambda: trained.describe().training.epoch > 0)
    children = psutil.Process(nodes.processes["cnn-0"].pid).children()
    assert [TRAINING in child.cmdline() for child in children] == [True]
    nodes.kill("cnn-0")
    until(lambda: all(ended(child) for child in children))
    assert left_over(trained.folder) == []
    nodes.start("cnn-0")
    with nodes.channel("cnn-0") as channel:
        again = Cnn(nodes, cnn_pb2_grpc.CnnStub(channel))
        assert again.predict() == before
        assert not again.describe().HasField("training")


def test_a_training_ends_with_its_node(cnn: Cnn, nodes: Nodes) -> None:
    cnn.stub.Train(pb.TrainRequest(epochs=LONG))
    children = psutil.Process(nodes.processes["cnn-0"].pid).children()
    nodes.stop()
    assert children
    assert all(ended(child) for child in children)
    assert left_over(cnn.folder) == []
