"""Draws the sample task: pictures of cats and dogs that only local shapes tell apart.

Both come in the same colours, sizes, poses and surroundings, so that no weighted sum of pixels separates them: a cat has
pointed ears, slit eyes and whiskers; a dog has hanging ears and a muzzle with a large nose. Needs Pillow alone. Run by the
launcher's set-up, by the benchmarks and by hand:

    python3 -m Services.ComputationalNodes.CNN.Node.samples FOLDER --pictures N --seed S [--flat]
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw, ImageEnhance

Colour = tuple[int, ...]
Point = tuple[float, float]

CLASSES = ("Cat", "Dog")
PICTURES = 500  # of each class in the sample training set
LAYER = 400  # pixels: side of the square an animal is drawn on before it is turned, scaled and put into its picture
MIDDLE = LAYER / 2
FURS: tuple[Colour, ...] = (
    (92, 86, 84),
    (120, 82, 54),
    (150, 104, 60),
    (205, 150, 85),
    (226, 206, 172),
    (128, 128, 132),
    (240, 238, 232),
)
BLACK: Colour = (18, 16, 16)
PINK: Colour = (226, 120, 130)


def draw_samples(folder: Path, pictures: int, seed: int, *, flat: bool = False) -> int:
    """Draw `pictures` JPEG files of each class and return how many were written; files that exist are left alone.

    They become `folder/Cat/cat_image1.jpg` and so on, or `folder/cat_image1.jpg` if `flat`. The same seed draws the same
    pictures, each independent of how many are asked for. Creates the folders.
    """
    written = 0
    for kind in CLASSES:
        place = folder if flat else folder / kind
        place.mkdir(parents=True, exist_ok=True)
        for number in range(1, pictures + 1):
            path = place / f"{kind.lower()}_image{number}.jpg"
            if not path.exists():
                draw_picture(kind, Random(f"{seed} {kind} {number}")).save(path, quality=85)
                written += 1
    return written


def draw_picture(kind: str, rng: Random) -> Image.Image:
    """Return an RGB picture of 220 to 400 pixels a side that shows a `kind`, which is "Cat" or "Dog"."""
    picture = _background(rng.randint(220, 400), rng.randint(220, 400), rng)
    _clutter(picture, rng)
    _place(picture, _animal(kind, rng), rng)
    return ImageEnhance.Brightness(picture).enhance(rng.uniform(0.75, 1.15))


def _background(width: int, height: int, rng: Random) -> Image.Image:
    """A soft pattern of random colours, coarse or fine."""
    columns, rows = rng.choice(((1, 2), (2, 1), (2, 2), (3, 3), (6, 6), (12, 12)))
    small = Image.frombytes("RGB", (columns, rows), rng.randbytes(columns * rows * 3))
    pattern = small.resize((width, height), rng.choice((Image.Resampling.NEAREST, Image.Resampling.BICUBIC)))
    plain = Image.new("RGB", (width, height), _any_colour(rng))
    return Image.blend(plain, pattern, rng.uniform(0.05, 0.4))


def _clutter(picture: Image.Image, rng: Random) -> None:
    """Balls, triangles and lines: what ears, noses and whiskers are made of must mean nothing by itself."""
    draw = ImageDraw.Draw(picture)
    side = min(picture.size)
    for _ in range(rng.randint(0, 4)):
        x, y, size = rng.uniform(0, picture.width), rng.uniform(0, picture.height), side * rng.uniform(0.04, 0.14)
        colour = rng.choice((*FURS, BLACK, PINK, _any_colour(rng)))
        corners = rng.choice((2, 3, 4, 24))
        turn = rng.uniform(0, math.tau)
        points = [
            (x + size * math.cos(turn + math.tau * i / corners), y + size * math.sin(turn + math.tau * i / corners))
            for i in range(corners)
        ]
        if corners == 2:
            draw.line(points, fill=colour, width=rng.randint(1, 5))
        else:
            draw.polygon(points, fill=colour)


def _place(picture: Image.Image, animal: Image.Image, rng: Random) -> None:
    """Turn, mirror, scale and paste an animal so that nearly all of it is in the picture."""
    side = round(min(picture.size) * rng.uniform(0.8, 1.0))
    scaled = animal.resize((side, round(side * rng.uniform(0.9, 1.1))), Image.Resampling.BILINEAR)
    turned = scaled.rotate(rng.uniform(-15, 15), Image.Resampling.BILINEAR)
    margin = -side // 12
    x = rng.randint(margin, picture.width - side - margin)
    y = rng.randint(margin, max(margin, picture.height - turned.height - margin))
    picture.paste(turned, (x, y), turned)


def _animal(kind: str, rng: Random) -> Image.Image:
    """A `LAYER` x `LAYER` RGBA picture of a sitting animal on nothing, seen from the front."""
    layer = Image.new("RGBA", (LAYER, LAYER))
    draw = ImageDraw.Draw(layer)
    fur = _vary(rng.choice(FURS), rng)
    dark = _shade(fur, 0.7)
    _body(draw, fur, dark, rng)
    if kind == "Cat":
        _cat_head(draw, fur, dark, rng)
    else:
        _dog_head(draw, fur, dark, rng)
    return layer


def _body(draw: ImageDraw.ImageDraw, fur: Colour, dark: Colour, rng: Random) -> None:
    side = rng.choice((-1, 1))
    tail = [(MIDDLE + side * (60 + 12 * i), 350 - 18 * i + 10 * math.sin(i)) for i in range(rng.randint(4, 7))]
    draw.line(tail, fill=dark, width=rng.randint(14, 24), joint="curve")
    draw.polygon(_oval(MIDDLE, 310, rng.uniform(65, 95), rng.uniform(70, 85)), fill=dark, outline=BLACK, width=5)
    draw.polygon(_oval(MIDDLE, 325, 45, 60), fill=fur)
    for _ in range(rng.randint(0, 5)):  # stripes and spots belong to both
        draw.polygon(_oval(MIDDLE + rng.uniform(-50, 50), rng.uniform(270, 360), rng.uniform(5, 30), 7), fill=_shade(dark, 0.7))


def _cat_head(draw: ImageDraw.ImageDraw, fur: Colour, dark: Colour, rng: Random) -> None:
    """Pointed ears, round head, slit eyes, a small pink nose, whiskers."""
    tip, spread = rng.uniform(25, 55), rng.uniform(80, 100)
    for side in (-1, 1):
        ear = [(MIDDLE + side * spread, tip), (MIDDLE + side * 95, 150), (MIDDLE + side * 15, 100)]
        draw.polygon(ear, fill=fur, outline=BLACK, width=5)
        draw.polygon([_between(corner, (MIDDLE + side * 70, 105), 0.4) for corner in ear], fill=PINK)
    draw.polygon(_oval(MIDDLE, 170, rng.uniform(92, 105), rng.uniform(78, 90)), fill=fur, outline=BLACK, width=5)
    iris = rng.choice(((150, 200, 70), (220, 180, 50), (90, 150, 210)))
    for side in (-1, 1):
        draw.polygon(_oval(MIDDLE + side * 42, 155, 20, 15, side * 0.3), fill=iris)
        draw.polygon(_oval(MIDDLE + side * 42, 155, 5, 14), fill=BLACK)
        for droop in (-12, 2, 16):
            start, end = (MIDDLE + side * 30, 205 + droop / 3), (MIDDLE + side * rng.uniform(125, 150), 200 + 1.6 * droop)
            draw.line([start, end], fill=(250, 250, 245), width=4)
    draw.polygon([(MIDDLE - 13, 185), (MIDDLE + 13, 185), (MIDDLE, 202)], fill=PINK)
    draw.line([(MIDDLE - 16, 218), (MIDDLE, 203), (MIDDLE + 16, 218)], fill=_shade(dark, 0.5), width=4)


def _dog_head(draw: ImageDraw.ImageDraw, fur: Colour, dark: Colour, rng: Random) -> None:
    """Hanging ears, long head, round eyes, a light muzzle with a large nose, often a tongue."""
    draw.polygon(_oval(MIDDLE, 165, rng.uniform(78, 92), rng.uniform(88, 100)), fill=fur, outline=BLACK, width=5)
    hang, angle = rng.uniform(160, 190), rng.uniform(0.1, 0.5)
    for side in (-1, 1):
        draw.polygon(_oval(MIDDLE + side * 92, hang, 30, rng.uniform(62, 78), -side * angle), fill=dark, outline=BLACK, width=5)
        draw.polygon(_oval(MIDDLE + side * 36, 140, 15, 15), fill=(235, 230, 225))
        draw.polygon(_oval(MIDDLE + side * 36, 141, 10, 10), fill=BLACK)
    if rng.random() < 0.6:
        draw.polygon(_oval(MIDDLE, 265, 17, 32), fill=PINK)
    muzzle = _between_colours(fur, (250, 245, 235), 0.5)
    draw.polygon(_oval(MIDDLE, 212, rng.uniform(44, 56), rng.uniform(42, 52)), fill=muzzle)
    draw.polygon(_oval(MIDDLE, 190, rng.uniform(20, 27), 16), fill=BLACK)
    draw.line([(MIDDLE - 24, 238), (MIDDLE, 228), (MIDDLE + 24, 238)], fill=BLACK, width=5)


def _oval(x: float, y: float, width: float, height: float, angle: float = 0.0) -> list[Point]:
    """The outline of an ellipse by its centre and half axes in pixels, turned by `angle` in radians."""
    turns = [math.tau * i / 36 for i in range(36)]
    cosine, sine = math.cos(angle), math.sin(angle)
    around = [(width * math.cos(turn), height * math.sin(turn)) for turn in turns]
    return [(x + a * cosine - b * sine, y + a * sine + b * cosine) for a, b in around]


def _between(start: Point, end: Point, share: float) -> Point:
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def _between_colours(start: Colour, end: Colour, share: float) -> Colour:
    return tuple(round(a + (b - a) * share) for a, b in zip(start, end, strict=True))


def _shade(colour: Colour, factor: float) -> Colour:
    return tuple(round(part * factor) for part in colour)


def _vary(colour: Colour, rng: Random) -> Colour:
    return tuple(min(255, max(0, part + rng.randint(-18, 18))) for part in colour)


def _contrast(colour: Colour) -> Colour:
    return (240, 240, 240) if sum(colour) < 380 else (40, 36, 36)


def _any_colour(rng: Random) -> Colour:
    return tuple(rng.randbytes(3))


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where the pictures go; files that exist are left alone")
    parser.add_argument("--pictures", type=int, default=PICTURES, metavar="N", help="of each class (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="another seed, other pictures (default: %(default)s)")
    parser.add_argument("--flat", action="store_true", help="without a folder for each class")
    options = parser.parse_args()
    if options.pictures < 1:
        parser.error(f"--pictures {options.pictures}: draw at least one")
    written = draw_samples(options.folder, options.pictures, options.seed, flat=options.flat)
    print(f"{written} pictures drawn in {options.folder}")


if __name__ == "__main__":
    main()
