"""The operations of cnn.proto as calls of the CNN Device. Made and called by the CNN Controller."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from protos import cnn_pb2 as pb
from Services.ComputationalNodes.CNN.Node.device import Device
from Services.ComputationalNodes.CNN.Node.models import DEFAULT
from Services.ComputationalNodes.CNN.Node.training import EPOCHS
from Services.fractos.adaptor import Adaptor
from Services.fractos.interruption import current
from Services.fractos.operations import Catalogue
from Services.fractos.values import from_tensor, to_tensor

NODE = Path("Services/ComputationalNodes/CNN/Node")


class CnnAdaptor(Adaptor):
    """Offers the models of one folder."""

    node_type = "cnn"
    threads = 64  # calls that wait for one another: as many as two batches, one of them at work

    def __init__(self, catalogue: Catalogue, device: Device) -> None:
        super().__init__(catalogue)
        self._device = device

    @classmethod
    def create(cls, catalogue: Catalogue, root: Path, storage_path: Path) -> CnnAdaptor:
        """The Adaptor of a node whose models and training pictures lie in the datacenter's folder `root`."""
        folder = root.resolve() / NODE
        return cls(catalogue, Device(folder / "Models", folder / "TrainingData"))

    def start(self) -> None:
        """Import TensorFlow and load the default model if there is one."""
        self._device.start()

    def stop(self) -> None:
        """End a training that is running."""
        self._device.stop()

    def predict(self, request: pb.PredictRequest) -> pb.PredictResponse:
        """Name the class of a picture."""
        model = _model(request)
        prediction = self._device.predict(from_tensor(request.image), model, current().check)
        return pb.PredictResponse(label=prediction.label, probability=prediction.probability, model=model)

    def embed(self, request: pb.EmbedRequest) -> pb.EmbedResponse:
        """Give the vector that the network makes of a picture."""
        model = _model(request)
        embedding = self._device.embed(from_tensor(request.image), model, current().check)
        return pb.EmbedResponse(embedding=to_tensor(embedding), model=model)

    def train(self, request: pb.TrainRequest) -> pb.TrainResponse:
        """Start a training."""
        model = _model(request)
        dataset = Path(request.dataset) if request.HasField("dataset") else None
        self._device.train(dataset, model, request.epochs if request.HasField("epochs") else EPOCHS, request.seed)
        return pb.TrainResponse(model=model)

    def cancel_training(self, request: pb.CancelTrainingRequest) -> pb.CancelTrainingResponse:
        """Stop a training."""
        return pb.CancelTrainingResponse(cancelled=self._device.cancel_training(_model(request)))

    def describe_model(self, request: pb.DescribeModelRequest) -> pb.DescribeModelResponse:
        """Tell what is known of a model and of its training."""
        name = _model(request)
        known = self._device.describe(name)
        response = pb.DescribeModelResponse(
            model=name, trained=known.model is not None, models=known.models, figures=known.figures
        )
        if known.model is not None:
            fields = dataclasses.asdict(known.model)
            del fields["network"]
            response.MergeFrom(pb.DescribeModelResponse(**fields))
        if known.training is not None:
            fields = dataclasses.asdict(known.training)
            fields["state"] = known.training.state.name
            response.training.CopyFrom(pb.Training(**fields))
        return response


def _model(
    request: pb.PredictRequest | pb.EmbedRequest | pb.TrainRequest | pb.CancelTrainingRequest | pb.DescribeModelRequest,
) -> str:
    return request.model if request.HasField("model") else DEFAULT
