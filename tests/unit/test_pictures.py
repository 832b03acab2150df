"""Pictures of every kind are decoded as a plain, slow decoder would, and nothing else is let in."""

from __future__ import annotations

import io
import struct
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from Services import pictures
from Services.fractos.errors import DataLossError, FailedPreconditionError, FractosError, OutOfRangeError

ORIENTATION = 0x0112
DAMAGED_EXIF = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x02\0\xff\xff\xff\xff\0\0\0\1" * 3


def picture(width: int = 120, height: int = 80) -> Image.Image:
    """Smooth, coloured, and different in every corner."""
    across, down = numpy.meshgrid(numpy.linspace(0, 1, width), numpy.linspace(0, 1, height))
    channels = (255 * across, 255 * down**2, 255 * (1 - across) * (1 - down))
    return Image.fromarray(numpy.stack(channels, axis=-1).astype(numpy.uint8))


def veiled() -> Image.Image:
    """The picture with an alpha channel that rises from left to right."""
    image = picture().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").rotate(90).resize(image.size))
    return image


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def reference(data: bytes, width: int, height: int) -> Image.Image:
    """Decode in full, turn, put on white, then resize."""
    with Image.open(io.BytesIO(data)) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB").resize((width, height), Image.Resampling.BILINEAR)


def difference(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures, of 255."""
    assert (one.mode, one.size) == (other.mode, other.size)
    return float(numpy.abs(numpy.asarray(one, dtype=int) - numpy.asarray(other, dtype=int)).mean())


KINDS = [
    *(("JPEG", picture().convert(mode), {"quality": 95}) for mode in ("L", "RGB", "CMYK")),
    ("JPEG", picture(), {"progressive": True, "quality": 95}),
    *(("PNG", picture().convert(mode), {}) for mode in ("1", "L", "LA", "P", "RGB")),
    *(("BMP", picture().convert(mode), {}) for mode in ("1", "L", "P", "RGB")),
    *(("GIF", picture().convert(mode), {}) for mode in ("1", "L", "P", "RGB")),
    ("PNG", veiled(), {}),
    ("PNG", veiled().convert("LA"), {}),
    ("BMP", veiled(), {}),
    ("GIF", veiled(), {}),
    ("PNG", picture().quantize(8), {"transparency": 3}),
    ("PNG", picture().quantize(8), {"transparency": b"\x00\x40\x80\xff"}),
    ("PNG", picture().convert("L"), {"transparency": 100}),
    ("PNG", picture().quantize(8).convert("RGB"), {"transparency": picture().quantize(8).convert("RGB").getpixel((0, 0))}),
    ("WEBP", picture(), {"quality": 90}),
    ("WEBP", picture(), {"lossless": True}),
    ("WEBP", veiled(), {"lossless": True}),
]


@pytest.mark.parametrize(("kind", "image", "options"), KINDS, ids=lambda value: getattr(value, "mode", None))
def test_every_kind_looks_as_it_should(kind: str, image: Image.Image, options: dict[str, Any]) -> None:
    data = encoded(image, kind, **options)
    for size in [(120, 80), (31, 64), (300, 20)]:
        assert difference(pictures.decode(data, *size, source="x"), reference(data, *size)) < 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    data = encoded(picture(480, 200), kind, exif=oriented(orientation))
    for size in [(60, 25), (25, 60), (100, 120)]:
        assert difference(pictures.decode(data, *size, source="x"), reference(data, *size)) < 2


def test_exif_data_may_follow_the_pixels_of_a_png() -> None:
    data = encoded(picture(), "PNG")
    late = data[:-12] + chunk(b"eXIf", oriented(6).tobytes()[6:]) + data[-12:]
    turned = picture().transpose(Image.Transpose.ROTATE_270)
    assert pictures.decode(late, 80, 120, source="x").tobytes() == turned.tobytes()


@pytest.mark.parametrize("exif", [b"Exif\0\0rubbish", DAMAGED_EXIF])
def test_damaged_exif_data_is_no_reason_to_refuse_a_picture(exif: bytes) -> None:
    data = encoded(picture(), "JPEG", exif=exif, quality=95)
    assert difference(pictures.decode(data, 120, 80, source="x"), picture()) < 2


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    grey = numpy.linspace(0, 65535, 120 * 80).reshape(80, 120).astype(numpy.uint16)
    decoded = numpy.asarray(pictures.decode(encoded(Image.fromarray(grey), "PNG"), 120, 80, source="x"))
    assert decoded.shape == (80, 120, 3)
    assert (decoded == numpy.round(grey / 257).astype(numpy.uint8)[:, :, None]).all()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "lime", "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=10, lossless=True)
    assert pictures.decode(data, 1, 1, source="x").getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("size", "decoded"),
    [((100, 66), (101, 67)), ((120, 60), (201, 134)), ((300, 200), (401, 267)), ((10, 500), (801, 534))],
)
def test_a_jpeg_is_decoded_no_larger_than_needed(
    size: tuple[int, int], decoded: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    load = JpegImageFile.load

    def spy(image: JpegImageFile) -> Any:
        sizes.append(image.size)
        return load(image)

    monkeypatch.setattr(JpegImageFile, "load", spy)
    assert pictures.decode(encoded(picture(801, 534), "JPEG"), *size, source="x").size == size
    assert set(sizes) == {decoded}


def test_a_jpeg_ends_where_it_ends() -> None:
    """At an eighth of its size, the last of 9 columns is a pixel of its own, of which only an eighth is in the picture."""
    image = Image.new("RGB", (9, 8))
    image.paste("white", (8, 0, 9, 8))
    grey = pictures.decode(encoded(image, "JPEG", quality=100), 1, 1, source="x").tobytes()[0]
    assert grey < 50  # 28 is the mean; two whole pixels would have one of 127


@pytest.mark.parametrize(
    "data", [b"", b"no picture", b"BMW is a maker of cars, not a bitmap", b"RIFF\0\0\0\0WAVEfmt ", b"II*\0tiff"]
)
def test_what_is_no_picture_is_refused_and_named(data: bytes) -> None:
    with pytest.raises(FailedPreconditionError, match=r"admin/a\.txt is not a picture.*JPEG, PNG, BMP, GIF, WebP"):
        pictures.decode(data, 8, 8, source="admin/a.txt")


@pytest.mark.parametrize(
    ("kind", "options"), [("JPEG", {}), ("PNG", {}), ("BMP", {}), ("GIF", {}), ("WEBP", {"lossless": True})]
)
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_truncated_picture_is_data_loss(kind: str, options: dict[str, Any], part: float) -> None:
    data = encoded(picture(), kind, **options)
    with pytest.raises(DataLossError, match=r"admin/cut is a damaged or incomplete"):
        pictures.decode(data[: int(len(data) * part)], 64, 64, source="admin/cut")


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def bombs() -> dict[str, bytes]:
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)) + chunk(b"IDAT", b"")
    slightly = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8193, 8192, 8, 2, 0, 0, 0)) + chunk(b"IDAT", b"")
    gif = bytearray(encoded(picture(), "GIF"))
    gif[6:10] = struct.pack("<HH", 60_000, 60_000)
    frame = bytearray(encoded(picture(), "GIF"))
    place = frame.index(b"," + struct.pack("<HHHH", 0, 0, 120, 80)) + 5
    frame[place : place + 4] = struct.pack("<HH", 60_000, 60_000)
    jpeg = bytearray(encoded(picture(), "JPEG"))
    place = jpeg.index(struct.pack(">HH", 80, 120))
    jpeg[place : place + 4] = struct.pack(">HH", 65_000, 65_000)
    bitmap = bytearray(encoded(picture(), "BMP"))
    bitmap[18:26] = struct.pack("<ii", 100_000, 100_000)
    webp = bytearray(encoded(picture(), "WEBP", exif=oriented(1)))
    webp[24:30] = (16_000 - 1).to_bytes(3, "little") * 2
    return {
        "png": png,
        "slightly": slightly,
        "gif": bytes(gif),
        "frame": bytes(frame),
        "jpeg": bytes(jpeg),
        "bitmap": bytes(bitmap),
        "webp": bytes(webp),
    }


@pytest.mark.parametrize("name", bombs())
def test_a_decompression_bomb_is_refused_by_its_header(name: str) -> None:
    with pytest.raises(OutOfRangeError, match=f"{name} is too large a picture.*67,108,864"):
        pictures.decode(bombs()[name], 8, 8, source=name)


@pytest.mark.parametrize("side", [0, -1, 4097, 2**32 - 1])
def test_absurd_sizes_are_refused_before_anything_else(side: int) -> None:
    for field, size in (("width", (side, 8)), ("height", (8, side))):
        with pytest.raises(OutOfRangeError, match=f"{field} is {side}; .* 1 to 4096") as caught:
            pictures.decode(b"", *size, source="x")
        assert caught.value.field == field


def test_the_largest_size_works() -> None:
    assert pictures.decode(encoded(picture(), "PNG"), 4096, 1, source="x").size == (4096, 1)


def test_threads_do_not_disturb_one_another_nor_the_process() -> None:
    data = encoded(picture(), "JPEG", exif=DAMAGED_EXIF)
    before = (list(warnings.filters), Image.MAX_IMAGE_PIXELS)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    with ThreadPoolExecutor(8) as threads:
        results = {image.tobytes() for image in threads.map(lambda _: pictures.decode(data, 16, 16, source="x"), range(400))}
    sys.setswitchinterval(interval)
    assert len(results) == 1
    assert (list(warnings.filters), Image.MAX_IMAGE_PIXELS) == before


SAMPLES = [
    encoded(picture(40, 30), "JPEG", exif=oriented(6)),
    encoded(picture(40, 30), "PNG", exif=oriented(6)),
    encoded(picture(40, 30).quantize(5), "PNG", transparency=b"\0\x80"),
    encoded(picture(40, 30), "BMP"),
    encoded(picture(40, 30), "GIF"),
    encoded(picture(40, 30), "WEBP", exif=oriented(6)),
]


@settings(deadline=None, max_examples=150, database=None)
@given(
    sample=st.sampled_from(SAMPLES),
    changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=5),
    kept=st.integers(1, 4000),
)
def test_damage_never_leads_anywhere_else(sample: bytes, changes: list[tuple[int, int]], kept: int) -> None:
    data = bytearray(sample[:kept])
    for place, value in changes:
        data[place % len(data)] = value
    try:
        image = pictures.decode(bytes(data), 16, 24, source="x")
    except FractosError as error:
        assert isinstance(error, (DataLossError, FailedPreconditionError, OutOfRangeError))
    else:
        assert (image.mode, image.size) == ("RGB", (16, 24))
