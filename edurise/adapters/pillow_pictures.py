"""Pictures made anew by Pillow, behind the port ``Pictures``: what comes out is pixels and nothing else.

Decoding is the riskiest thing that is done with a file, so it is bounded: only the named formats are tried, the size
that the file declares and the number of passes that it wants are looked at before a pixel is unpacked, and one picture
is decoded at a time.
"""

from __future__ import annotations

import asyncio
import io
import mmap
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageCms, ImageOps

from edurise.files.ports import BadPicture, Picture

_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")
# A progressive JPEG is decoded once over for each of its scans, of which a few bytes make one. What is written in
# earnest has about ten (the default of libjpeg).
_MOST_SCANS = 100
_SCAN = b"\xff\xda"
_SRGB = ImageCms.createProfile("sRGB")


class PillowPictures:
    """``max_pixels`` bounds what is decoded: 40 million pixels take 160 MB, and about twice that while they are turned
    and converted. Larger files than ``max_bytes`` are not opened."""

    def __init__(self, max_pixels: int = 40_000_000, max_bytes: int = 64 * 1024 * 1024) -> None:
        self._max_pixels = max_pixels
        self._max_bytes = max_bytes
        self._threads = ThreadPoolExecutor(1, "pictures")  # one: the filters of warnings are the process's

    async def render(self, source: Path, longest_side: int) -> Picture:
        """JPEG where the picture is opaque, WebP where it is not. Raises BadPicture."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._render, source, longest_side)

    async def close(self) -> None:
        """Let the picture at hand be finished."""
        await asyncio.to_thread(self._threads.shutdown)

    def _render(self, source: Path, longest_side: int) -> Picture:
        with source.open("rb") as opened:  # a disk that fails is no fault of the picture
            if os.fstat(opened.fileno()).st_size > self._max_bytes:
                raise BadPicture("too_large")
            return self._decoded(opened, longest_side)

    def _decoded(self, opened: BinaryIO, longest_side: int) -> Picture:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of odd metadata; a bomb is refused by its declared size
                with Image.open(opened, formats=_FORMATS) as image:
                    self._check(image, opened)
                    return _rendered(image, longest_side)
        except BadPicture:
            raise
        except Image.DecompressionBombError as bomb:
            raise BadPicture("too_large") from bomb
        except Exception as broken:
            # The bytes of strangers make decoders raise anything, TypeError included.
            raise BadPicture("unreadable") from broken

    def _check(self, image: Image.Image, opened: BinaryIO) -> None:
        """Before anything is decoded. Raises BadPicture."""
        width, height = image.size
        if width * height > self._max_pixels or not width or not height:
            raise BadPicture("too_large" if width and height else "unreadable")
        if image.format in ("JPEG", "MPO") and _scans(opened) > _MOST_SCANS:
            raise BadPicture("too_large")


def _rendered(image: Image.Image, longest_side: int) -> Picture:
    # A JPEG is decoded at a fraction of its size where that is enough.
    image.draft(None, (longest_side * 2, longest_side * 2))
    image.load()
    turned = ImageOps.exif_transpose(image)
    drawn = _in_srgb(turned)
    drawn.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    plain = Image.new(drawn.mode, drawn.size)  # without whatever else the picture carried
    plain.paste(drawn)
    out = io.BytesIO()
    if plain.mode == "RGBA":
        plain.save(out, "WEBP", quality=85, method=4)
        return Picture(out.getvalue(), "image/webp", *plain.size)
    plain.save(out, "JPEG", quality=85, optimize=True, progressive=True)
    return Picture(out.getvalue(), "image/jpeg", *plain.size)


def _scans(opened: BinaryIO) -> int:
    """How many scans a JPEG has at most: in the data themselves this marker cannot stand (ITU-T T.81, F.1.2.3)."""
    with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        count, at = 0, content.find(_SCAN)
        while at >= 0 and count <= _MOST_SCANS:
            count, at = count + 1, content.find(_SCAN, at + 2)
        return count


def _in_srgb(image: Image.Image) -> Image.Image:
    """As RGB, or RGBA where something shines through; colours of another profile are converted where they can be."""
    profile = image.info.get("icc_profile")
    plain = _in_bytes(image)
    is_clear = plain.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in plain.info
    if is_clear:
        plain = plain.convert("RGBA")
        if plain.getchannel("A").getextrema() == (255, 255):
            plain = plain.convert("RGB")
    if profile and plain.mode in ("RGB", "RGBA", "CMYK"):
        try:
            with io.BytesIO(profile) as given:
                plain = _converted(plain, ImageCms.ImageCmsProfile(given))
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass  # a broken profile, or one for other channels, says nothing about the pixels
    return plain if plain.mode in ("RGB", "RGBA") else plain.convert("RGB")


def _converted(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    made = ImageCms.profileToProfile(image, profile, ImageCms.ImageCmsProfile(_SRGB), outputMode=mode)
    return image if made is None else made


def _in_bytes(image: Image.Image) -> Image.Image:
    """Grey of sixteen bits as grey of eight, which Pillow's own conversion would cut off instead of divide."""
    if not image.mode.startswith("I;16"):
        return image
    return image.convert("I").point(lambda value: value / 256).convert("L")
