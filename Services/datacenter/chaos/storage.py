"""The files of a chaos in storage: made before, compared after, removed; and what is left of one that was killed."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from Services.datacenter.chaos.checker import Violation
from Services.datacenter.chaos.work import run_until_done
from Services.datacenter.chaos.workload import CLIENT, Files
from Services.fractos import Datacenter, FractosError, TaskGraph

OWN = re.compile(
    r"chaos-[0-9a-f]{16}-(client-\d+-((text|integer|appended)-\d+)|probe)\.txt|chaos-[0-9a-f]{16}-picture-\d+\.jpg"
)
PATIENCE_S = 30.0


class Store:
    """The files of one chaos. `id`: 16 hexadecimal digits, in the names of all of them."""

    def __init__(self, id: str, clients: int, folder: Path) -> None:
        self.files = [Files.of(f"chaos-{id}-client-{number}") for number in range(clients)]
        self.probe_file = f"chaos-{id}-probe.txt"
        self.pictures: list[str] = []  # names
        self._id = id
        self._folder = folder / CLIENT  # on this host's disk
        self._was_there = self._folder.exists()

    def make(self, datacenter: Datacenter) -> None:
        """Write every file once. Raises the error of a run that fails."""
        graph = TaskGraph("chaos files")
        graph.storage.write_integer(client_id=CLIENT, name=self.probe_file, value=1)
        for files in self.files:
            for text in files.texts:
                (begin,) = text.possible
                graph.storage.write_text(client_id=CLIENT, name=text.name, text=begin)
            for integer in files.integers:
                (begin,) = integer.possible
                graph.storage.write_integer(client_id=CLIENT, name=integer.name, value=begin)
            for appended in files.appended:
                graph.storage.write_text(client_id=CLIENT, name=appended.name, text="")
        datacenter.run(graph)

    def add_pictures(self, datacenter: Datacenter, contents: Sequence[bytes]) -> list[str]:
        """Write pictures, and return their names. Raises the error of a run that fails."""
        for number, content in enumerate(contents):
            name = f"chaos-{self._id}-picture-{number}.jpg"
            self.pictures.append(name)
            graph = TaskGraph("chaos picture")
            graph.storage.write_bytes(client_id=CLIENT, name=name, data=content)
            datacenter.run(graph)
        return self.pictures

    def compare(self, datacenter: Datacenter) -> list[Violation]:
        """Compare all files with what they must hold: as runs read them, and as they are on disk."""
        asked_at = time.monotonic()
        violations = [one for files in self.files for name in files.names for one in self._read(datacenter, files, name)]
        on_disk = [one for files in self.files for one in files.judge(self._folder, asked_at)]
        return [*violations, *on_disk]

    def remove(self, datacenter: Datacenter) -> None:
        """Remove the files, and the folder that they made if nothing else is in it. Raises the error of a run that fails."""
        begun = [files.next_appended().name for files in self.files]
        written = [self.probe_file, *self.pictures, *(name for files in self.files for name in files.names)]
        self._delete(datacenter, [*written, *begun])
        if not self._was_there:
            with suppress(OSError):
                self._folder.rmdir()

    def remove_left(self, datacenter: Datacenter) -> int:
        """Remove what a chaos that was killed has left, and return how many files that was."""
        graph = TaskGraph("chaos list")
        listed = graph.output(graph.storage.list(client_id=CLIENT, prefix="chaos-"))
        left = [name for name in run_until_done(datacenter, graph, PATIENCE_S)[listed].names if OWN.fullmatch(name)]
        self._delete(datacenter, left)
        return len(left)

    def _read(self, datacenter: Datacenter, files: Files, name: str) -> Sequence[Violation]:
        graph = TaskGraph("chaos read")
        step = graph.output(graph.storage.read_text(client_id=CLIENT, name=name))
        asked_at = time.monotonic()
        try:
            text = run_until_done(datacenter, graph, PATIENCE_S)[step].text
        except FractosError as error:
            return [Violation("lost", f"{name} cannot be read after the faults: {error.message}")]
        return files.read(name, text, asked_at)

    def _delete(self, datacenter: Datacenter, names: Sequence[str]) -> None:
        for first in range(0, len(names), 100):
            graph = TaskGraph("chaos delete")
            for name in names[first : first + 100]:
                graph.storage.delete(client_id=CLIENT, name=name)
            run_until_done(datacenter, graph, PATIENCE_S)
