"""Says whether pictures show the same as one that was enrolled, over four devices:

    python3 Applications/face_verification.py [ENROLLED [PICTURE…]] [--client-id ID] [--threshold T]

To enrol, storage reads a picture, math cuts out its middle, the CNN makes an embedding, and storage keeps that. To verify,
another picture goes the same way; math compares its embedding with the one in storage, and storage keeps the verdict. What the
network knows is cats and dogs; with one that was trained on faces, the same program verifies faces.
"""

try:
    from Services.fractos import Datacenter, FractosError, TaskGraph, connect
    from Services.fractos.graph import Step
except ModuleNotFoundError:
    import pathlib
    import runpy

    runpy.run_path(str(pathlib.Path(__file__).resolve().parents[1] / "Services/fractos/bootstrap.py"))

import argparse
import sys
from pathlib import PurePosixPath

ENROLLED, PICTURES = "cat_image1.jpg", ("cat_image1.jpg", "cat_image2.jpg", "dog_image1.jpg")
READ_SIDE = 160  # pixels: how large a picture is read
SIDE = 128  # pixels: the middle of it, what the CNN was trained for


def main() -> int:
    """Enrol the first picture, then verify the others; one that fails does not stop the rest."""
    parser = argparse.ArgumentParser(description="Says whether pictures show the same as one that was enrolled.")
    parser.add_argument("enrolled", nargs="?", default=ENROLLED, help="a name in storage (default: %(default)s)")
    parser.add_argument("pictures", nargs="*", help=f"names in storage (default: {' '.join(PICTURES)})")
    parser.add_argument("--client-id", default="admin", help="as whom, and whose folder in storage (default: %(default)s)")
    parser.add_argument("--threshold", type=float, default=0.9, help="same from this similarity on (default: %(default)s)")
    options = parser.parse_args()
    failed = 0
    try:
        with connect(client_id=options.client_id) as datacenter:
            embedding = enroll(datacenter, options.client_id, options.enrolled)
            for name in options.pictures or PICTURES:
                try:
                    answer = verify(datacenter, options.client_id, name, embedding, options.threshold)
                    print(f"{name}: {answer} {'as' if answer.startswith('same') else 'from'} {options.enrolled}")
                except FractosError as error:
                    print(f"{name}: {error}", file=sys.stderr)
                    failed += 1
    except FractosError as error:
        sys.exit(f"{error}")
    return 1 if failed else 0


def enroll(datacenter: Datacenter, client_id: str, name: str) -> str:
    """Keep the embedding of a picture; return the name of its file."""
    graph = TaskGraph("enroll")
    target = beside(name, "_embedding.npy")
    graph.storage.write_tensor(client_id=client_id, name=target, tensor=embedded(graph, client_id, name).embedding)
    datacenter.run(graph, timeout_s=30)
    return target


def verify(datacenter: Datacenter, client_id: str, name: str, embedding: str, threshold: float) -> str:
    """Compare a picture with an embedding in storage, and keep the verdict; return it with the similarity."""
    graph = TaskGraph("verify")
    known = graph.storage.read_tensor(client_id=client_id, name=embedding)
    found = embedded(graph, client_id, name)
    compared = graph.math.similarity(a=found.embedding, b=known.tensor, threshold=threshold)
    graph.storage.write_text(client_id=client_id, name=beside(name, "_verdict.txt"), text=compared.verdict)
    result = datacenter.run(graph, timeout_s=30)
    return f"{result[compared].verdict} ({result[compared].value:.3f})"


def embedded(graph: TaskGraph, client_id: str, name: str) -> "Step":
    """The steps from a picture in storage to its embedding."""
    picture = graph.storage.read_image(client_id=client_id, name=name, width=READ_SIDE, height=READ_SIDE)
    margin = (READ_SIDE - SIDE) // 2
    middle = graph.math.crop(image=picture.image, top=margin, left=margin, height=SIDE, width=SIDE)
    return graph.cnn.embed(image=middle.image)


def beside(name: str, ending: str) -> str:
    """`pets/cat.jpg` → `pets/cat_verdict.txt`."""
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem}{ending}"))


if __name__ == "__main__":
    raise SystemExit(main())
