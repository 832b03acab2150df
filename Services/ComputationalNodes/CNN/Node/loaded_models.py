"""The models in memory, loaded as they are used. Used by the Device.

A model that was trained anew is loaded beside the one in use and takes its place when it is ready: no call waits for it.
"""

from __future__ import annotations

import logging
import os
import threading
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from Services.ComputationalNodes.CNN.Node.batching import Batcher
from Services.ComputationalNodes.CNN.Node.models import DEFAULT, Model, Models
from Services.fractos.errors import DataLossError, FailedPreconditionError, FractosError

if TYPE_CHECKING:
    from Services.ComputationalNodes.CNN.Node.prediction import Answer

log = logging.getLogger(__name__)

MAX_LOADED = 8  # models in memory, some 30 MB each; the one not used for longest gives way


class Loaded(NamedTuple):
    """A model in memory."""

    model: Model
    network: Batcher[NDArray[np.uint8], Answer]


class LoadedModels:
    """Those of one folder. Safe in several threads."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._loading = threading.Lock()  # one at a time: two calls need not load the same
        self._lock = threading.Lock()  # guards all that follows
        self._loaded: dict[str, Loaded] = {}  # the one used last is last
        self._replacing: set[str] = set()  # by a thread each

    def use(self, name: str) -> Loaded:
        """The model of that name. If there is a newer one than in memory, that is loaded meanwhile.

        Raises FailedPreconditionError if there is none, DataLossError if its files are damaged.
        """
        model = self._models.find(name)
        with self._lock:
            loaded = self._loaded.pop(name, None)
            if loaded is not None and model is not None:
                self._loaded[name] = loaded
        if loaded is None or model is None:
            return self.load(name)
        if loaded.model != model:
            self._replace(name)
        return loaded

    def look(self) -> None:
        """Begin to load what another process has trained anew, without being asked for it."""
        with self._lock:
            names = list(self._loaded)
        for name in names:  # in the order of their last use, which stays
            with suppress(FractosError):  # the next call tells
                self.use(name)

    def load(self, name: str) -> Loaded:
        """Have the model in memory that is on disk by now, and return it. Raises as `use` does."""
        with self._loading:
            model = self._models.find(name)
            with self._lock:
                loaded = self._loaded.get(name)
            if loaded is None or loaded.model != model:
                loaded = self._read(name, model)
                self._put(name, loaded)
            return loaded

    def _put(self, name: str, loaded: Loaded) -> None:
        with self._lock:
            self._loaded[name] = loaded
            if len(self._loaded) > MAX_LOADED:
                del self._loaded[next(iter(self._loaded))]

    def _read(self, name: str, model: Model | None) -> Loaded:
        if model is None:
            flag = "" if name == DEFAULT else f" --model {name}"
            raise FailedPreconditionError(
                f"there is no model {name!r}; train it with `python3 run_datacenter.py train --dataset FOLDER{flag}`"
            )
        library = tensorflow()
        try:
            network = library.Network(self._models.network(name, model), (model.height, model.width, 3))
        except DataLossError:
            newer = self._models.find(name)
            if newer == model:
                raise
            return self._read(name, newer)  # it was replaced while it was being read
        return Loaded(model, Batcher(network.answer, library.SIZES))

    def _replace(self, name: str) -> None:
        """Begin to load a newer model, unless that goes on already."""
        with self._lock:
            if name in self._replacing:
                return
            self._replacing.add(name)
        threading.Thread(target=self._load_beside, args=(name,), name=f"load {name}", daemon=True).start()

    def _load_beside(self, name: str) -> None:
        try:
            self.load(name)
        except Exception as error:  # the edge of the thread
            log.warning("could not load the new model %s: %s", name, error, exc_info=not isinstance(error, FractosError))
            with self._lock:  # the next call tries it itself, and tells
                self._loaded.pop(name, None)
        finally:
            with self._lock:
                self._replacing.discard(name)


def tensorflow() -> ModuleType:
    """`prediction.py`, and with it TensorFlow: the rest of the Device does without."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from Services.ComputationalNodes.CNN.Node import prediction  # noqa: PLC0415

    return prediction
