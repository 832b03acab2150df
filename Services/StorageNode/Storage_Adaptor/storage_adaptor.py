"""The operations of storage.proto as calls of the storage Device. Made and called by the storage Controller."""

from __future__ import annotations

from pathlib import Path

from protos import fractos_pb2
from protos import storage_pb2 as pb
from Services import pictures
from Services.fractos.adaptor import Adaptor
from Services.fractos.errors import FractosError, InvalidArgumentError
from Services.fractos.interruption import current
from Services.fractos.operations import Catalogue
from Services.fractos.step import Step
from Services.fractos.values import from_big_integer, from_tensor, to_big_integer, to_tensor
from Services.StorageNode.Node import arrays, contents
from Services.StorageNode.Node.files import Files


class StorageAdaptor(Adaptor):
    """Offers the files of one storage folder. Each change of a file is made once for the step that it is for."""

    node_type = "storage"

    def __init__(self, catalogue: Catalogue, files: Files) -> None:
        super().__init__(catalogue)
        self._files = files

    @classmethod
    def create(cls, catalogue: Catalogue, root: Path, storage_path: Path) -> StorageAdaptor:
        """The Adaptor of a node whose clients have their folders in `storage_path`."""
        return cls(catalogue, Files(storage_path, check=lambda: current().check()))

    @property
    def state_folder(self) -> Path:
        """Where the lock of the storage folder's one owner is."""
        return self._files.own_folder

    def start(self) -> None:
        """Make the storage folder if need be, and remove what killed writes left."""
        self._files.start()

    def recover(self) -> None:
        """Bring in order what killed changes left."""
        self._files.recover()

    def stop(self) -> None:
        """Close what changes keep open."""
        self._files.close()

    def read_image(self, request: pb.ReadImageRequest) -> pb.ReadImageResponse:
        """Decode a picture, stretched to the size asked for: (height, width, 3) uint8."""
        data = self._files.read(request.client_id, request.name)
        try:
            picture = pictures.decode(data, request.width, request.height, source=_source(request))
        except FractosError as error:
            error.field = error.field or "name"
            raise
        tensor = fractos_pb2.Tensor(dtype="uint8", shape=(picture.height, picture.width, 3), data=picture.tobytes())
        return pb.ReadImageResponse(image=tensor)

    def read_integer(self, request: pb.ReadIntegerRequest) -> pb.ReadIntegerResponse:
        """Read a file that holds one integer in decimal digits."""
        data = self._files.read(request.client_id, request.name)
        return pb.ReadIntegerResponse(value=to_big_integer(contents.integer_of(data, _source(request))))

    def write_integer(self, request: pb.WriteIntegerRequest, step: Step | None) -> pb.WriteIntegerResponse:
        """Write an integer in decimal digits."""
        digits = contents.digits_of(from_big_integer(request.value))
        self._files.write(request.client_id, request.name, digits, field="value", step=step)
        return pb.WriteIntegerResponse()

    def read_text(self, request: pb.ReadTextRequest) -> pb.ReadTextResponse:
        """Read a UTF-8 file."""
        data = self._files.read(request.client_id, request.name)
        return pb.ReadTextResponse(text=contents.text_of(data, _source(request)))

    def write_text(self, request: pb.WriteTextRequest, step: Step | None) -> pb.WriteTextResponse:
        """Write a text in UTF-8."""
        self._files.write(request.client_id, request.name, request.text.encode(), field="text", step=step)
        return pb.WriteTextResponse()

    def append_text(self, request: pb.AppendTextRequest, step: Step | None) -> pb.AppendTextResponse:
        """Add a text in UTF-8 at the end of a file."""
        return pb.AppendTextResponse(size_bytes=self._files.append(request.client_id, request.name, request.text, step))

    def read_bytes(self, request: pb.ReadBytesRequest) -> pb.ReadBytesResponse:
        """Read a file."""
        return pb.ReadBytesResponse(data=self._files.read(request.client_id, request.name))

    def write_bytes(self, request: pb.WriteBytesRequest, step: Step | None) -> pb.WriteBytesResponse:
        """Write a file."""
        self._files.write(request.client_id, request.name, request.data, step=step)
        return pb.WriteBytesResponse()

    def read_tensor(self, request: pb.ReadTensorRequest) -> pb.ReadTensorResponse:
        """Read an array in NumPy's .npy format."""
        data = self._files.read(request.client_id, request.name)
        return pb.ReadTensorResponse(tensor=to_tensor(arrays.array_of(data, _source(request))))

    def write_tensor(self, request: pb.WriteTensorRequest, step: Step | None) -> pb.WriteTensorResponse:
        """Write an array in NumPy's .npy format."""
        try:
            data = arrays.file_of(from_tensor(request.tensor))
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"tensor is {error.message}", field="tensor") from error
        self._files.write(request.client_id, request.name, data, field="tensor", step=step)
        return pb.WriteTensorResponse()

    def list(self, request: pb.ListRequest) -> pb.ListResponse:
        """List a client's files in alphabetical order, subfolders included."""
        return pb.ListResponse(names=self._files.list(request.client_id, request.prefix))

    def delete(self, request: pb.DeleteRequest, step: Step | None) -> pb.DeleteResponse:
        """Remove a file if it is there."""
        return pb.DeleteResponse(deleted=self._files.delete(request.client_id, request.name, step))


def _source(request: pb.ReadImageRequest | pb.ReadIntegerRequest | pb.ReadTextRequest | pb.ReadTensorRequest) -> str:
    return f"{request.client_id}/{request.name}"
