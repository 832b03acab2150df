"""Decoding and resizing of pictures. Storage nodes and the training of CNN nodes both call it, so that a picture has the same
pixels for both.
"""

from __future__ import annotations

import re
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from Services.fractos.errors import DataLossError, FailedPreconditionError, OutOfRangeError

MAX_SIDE = 4096  # of the result, in pixels
MAX_PIXELS = 64 * 1024 * 1024  # of the picture in the file; decoded, that is 256 MiB

# The classes are opened themselves, not through Image.open: it would go by limits and warnings that are global to the process.
_FORMATS: tuple[tuple[str, re.Pattern[bytes], type[ImageFile]], ...] = (
    ("JPEG", re.compile(rb"\xff\xd8\xff"), JpegImageFile),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n"), PngImageFile),
    ("BMP", re.compile(rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL), BmpImageFile),
    ("GIF", re.compile(rb"GIF8[79]a"), GifImageFile),
    ("WebP", re.compile(rb"RIFF.{4}WEBP", re.DOTALL), WebPImageFile),
)
_ORIENTATION = 0x0112  # the EXIF tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LYING = {5, 6, 7, 8}  # the orientations whose width and height change places
# What Pillow's decoders raise for damaged data; the warnings where Python runs with -W error.
_DAMAGED = (OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, struct.error, Warning)
_quiet_lock = threading.Lock()


def decode(data: bytes, width: int, height: int, *, source: str) -> Image.Image:
    """Return a picture, upright and stretched to `width` x `height` pixels, in mode RGB: (height, width, 3) uint8.

    `data` is a JPEG, PNG, BMP, GIF (its first frame is taken) or WebP file of any colour mode; what is transparent becomes
    white. `source` names the file in errors. Safe to call in several threads; they decode side by side.

    Raises OutOfRangeError for a size outside 1..MAX_SIDE or a picture of more than MAX_PIXELS (nothing is decoded then),
    FailedPreconditionError if the data is no such file, DataLossError if it is damaged or incomplete.
    """
    for field, side in (("width", width), ("height", height)):
        if not 1 <= side <= MAX_SIDE:
            raise OutOfRangeError(f"{field} is {side}; pictures are read at 1 to {MAX_SIDE} pixels", field=field)
    name, opener = _format(data, source)
    if size := _webp_size(data):  # its decoder may take the memory, or fail for want of it, as soon as it is opened
        _check_pixels(*size, source)
    try:
        with _without_warnings():
            image = opener(BytesIO(data))
        _check_pixels(*image.size, source)
        return _upright(image, width, height)
    except Image.DecompressionBombError as error:  # Pillow's own limit, on frames larger than the header says
        raise _too_large(source, str(error)) from error
    except _DAMAGED as error:
        raise DataLossError(f"{source} is a damaged or incomplete {name} picture ({error}); store it anew") from error


def _format(data: bytes, source: str) -> tuple[str, type[ImageFile]]:
    for name, signature, opener in _FORMATS:
        if signature.match(data):
            return name, opener
    known = ", ".join(name for name, _, _ in _FORMATS)
    start = f"begins with {data[:16]!r}" if data else "is empty"
    raise FailedPreconditionError(f"{source} is not a picture that can be read ({known}): it {start}")


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """The width and height that the header of a WebP file states (RFC 9649, sections 2.5 to 2.7); None if there is none."""
    if extended := re.match(rb"RIFF.{4}WEBPVP8X.{8}(.{3})(.{3})", data, re.DOTALL):
        return int.from_bytes(extended[1], "little") + 1, int.from_bytes(extended[2], "little") + 1
    if lossless := re.match(rb"RIFF.{4}WEBPVP8L.{4}\x2f(.{4})", data, re.DOTALL):
        bits = int.from_bytes(lossless[1], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if lossy := re.match(rb"RIFF.{4}WEBPVP8 .{7}\x9d\x01\x2a(.{2})(.{2})", data, re.DOTALL):
        return int.from_bytes(lossy[1], "little") & 0x3FFF, int.from_bytes(lossy[2], "little") & 0x3FFF
    return None


def _check_pixels(width: int, height: int, source: str) -> None:
    if width * height > MAX_PIXELS:
        raise _too_large(source, f"{width} x {height}")


def _too_large(source: str, size: str) -> OutOfRangeError:
    return OutOfRangeError(
        f"{source} is too large a picture ({size}); up to {MAX_PIXELS:,} pixels are read, store a smaller one"
    )


def _upright(image: ImageFile, width: int, height: int) -> Image.Image:
    orientation = _orientation(image)
    size = (height, width) if orientation in _LYING else (width, height)
    draft = image.draft("RGB", size)  # a JPEG decoder can do halves, quarters and eighths by itself, which saves half the time
    box = draft[1] if draft else None  # the picture ends within the last pixel where its size is no multiple of the scale
    resized = _in_colour(image).resize(size, Image.Resampling.BILINEAR, box=box)
    if resized.mode == "RGBA":
        white = Image.new("RGB", size, "white")
        white.paste(resized, mask=resized)
        resized = white
    return resized.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else resized


def _orientation(image: ImageFile) -> int:
    """The EXIF orientation, 1 (upright) if there is none. Damaged EXIF data is no reason to refuse a picture."""
    if isinstance(image, PngImageFile):
        image.load()  # its EXIF data may follow the pixels, and getexif would decode those within the lock
    try:
        with _without_warnings():
            return int(image.getexif().get(_ORIENTATION, 1))
    except _DAMAGED:
        return 1


def _in_colour(image: Image.Image) -> Image.Image:
    """The picture in RGBA if it has transparent parts, else in RGB."""
    image.load()
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow's own conversion clips to 255
        image = image.point(lambda grey: grey * (1 / 257) + 0.5).convert("L")
        image.info.pop("transparency", None)
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep Pillow's remarks on odd metadata out of the logs. One thread at a time: the filters belong to the whole process."""
    with _quiet_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
