"""Says what is on pictures: storage reads each one, the CNN names its class, storage keeps the answer beside the picture.

    python3 Applications/image_prediction_application.py [PICTURE…] [--client-id ID] [--model NAME]

The pictures travel storage → CNN → storage; this program sees the answers only.
"""

try:
    from Services.fractos import Datacenter, FractosError, Result, TaskGraph, connect
    from Services.fractos.graph import Step
except ModuleNotFoundError:
    import pathlib
    import runpy

    runpy.run_path(str(pathlib.Path(__file__).resolve().parents[1] / "Services/fractos/bootstrap.py"))

import argparse
import shutil
import sys
import textwrap
from pathlib import Path, PurePosixPath

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp"}
NO_BREAK = "\u00a0"  # a space at which lines are not broken
SIDE = 128  # pixels; what the CNN was trained for


def main() -> int:
    """Predict every picture; one that fails does not stop the others."""
    parser = argparse.ArgumentParser(description="Says what is on pictures, with a convolutional neural network.")
    parser.add_argument(
        "pictures",
        metavar="PICTURE",
        nargs="*",
        help="a local file, which is uploaded first, or else a name in storage; by default every picture of the client",
    )
    parser.add_argument("--client-id", default="admin", help="as whom, and whose folder in storage (default: %(default)s)")
    parser.add_argument("--model", default="default", help="the network that is asked (default: %(default)s)")
    options = parser.parse_args()
    client_id = options.client_id
    failed = 0
    try:
        with connect(client_id=client_id) as datacenter:
            names = options.pictures or stored_pictures(datacenter, client_id)
            if not names:
                sys.exit(f"{client_id} has no pictures in storage; name a local one, which is uploaded first")
            for name in names:
                try:
                    stored = upload(datacenter, client_id, name)
                    print(predict(datacenter, client_id, stored, options.model), flush=True)
                except (FractosError, OSError) as error:
                    print(f"{name}: {error}", file=sys.stderr)
                    failed += 1
    except FractosError as error:
        sys.exit(f"{error}")
    return 1 if failed else 0


def predict(datacenter: Datacenter, client_id: str, name: str, model: str) -> str:
    """Run the graph for one picture and describe the outcome."""
    graph, answer = prediction(client_id, name, model)
    result = datacenter.run(graph, timeout_s=30)
    return f"{name}: {result[answer].label} ({result[answer].probability:.1%})\n{path_of(result)}"


def prediction(client_id: str, name: str, model: str) -> "tuple[TaskGraph, Step]":
    """The graph for one picture, and its step that has the answer."""
    graph = TaskGraph("image prediction")
    picture = graph.storage.read_image(client_id=client_id, name=name, width=SIDE, height=SIDE)
    answer = graph.cnn.predict(image=picture.image, model=model)
    graph.storage.write_text(client_id=client_id, name=class_file(name), text=answer.label)
    return graph, answer


def graphs() -> TaskGraph:
    """What `run_datacenter.py graph` draws. Only a program whose graphs depend on what is in storage needs this."""
    graph, _ = prediction("admin", "cat_image1.jpg", "default")
    return graph


def stored_pictures(datacenter: Datacenter, client_id: str) -> list[str]:
    """The names of a client's pictures in storage."""
    graph = TaskGraph("list pictures")
    listing = graph.output(graph.storage.list(client_id=client_id))
    names = datacenter.run(graph)[listing].names
    return [name for name in names if PurePosixPath(name).suffix.lower() in PICTURES]


def upload(datacenter: Datacenter, client_id: str, picture: str) -> str:
    """Put a local file into storage; anything else is a name there already. Returns the name in storage."""
    file = Path(picture)
    if not file.is_file():
        return picture
    graph = TaskGraph("upload")
    graph.storage.write_bytes(client_id=client_id, name=file.name, data=file.read_bytes())
    datacenter.run(graph)
    return file.name


def class_file(name: str) -> str:
    """`pets/cat.jpg` → `pets/cat_class.txt`."""
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem}_class.txt"))


def path_of(result: Result) -> str:
    """The way that the run took, with the time in each device and on the wire between them; no hop is broken on a terminal."""
    hops = [f"─{hop.wire_ms:.1f} ms→ {hop.node} {hop.operation.split('.')[1]} {hop.device_ms:.1f} ms" for hop in result.trail]
    way = f"  application {' '.join(hop.replace(' ', NO_BREAK) for hop in hops)}"
    if sys.stdout.isatty():
        way = textwrap.fill(way, shutil.get_terminal_size().columns, subsequent_indent=" " * 14, break_long_words=False)
    return way.replace(NO_BREAK, " ")


if __name__ == "__main__":
    raise SystemExit(main())
