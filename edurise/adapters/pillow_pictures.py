"""Pictures made anew by Pillow, behind the port ``Pictures``: what comes out is pixels and nothing else.

Decoding is the riskiest thing that is done with a file, so it is bounded: only the named formats are tried, the size
that the file declares is looked at before a pixel is unpacked, and one picture is decoded at a time.
"""

from __future__ import annotations

import asyncio
import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from edurise.files.ports import BadPicture, Picture

_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")
_UNREADABLE = (
    UnidentifiedImageError,
    OSError,
    SyntaxError,  # Pillow's word for a broken PNG
    ValueError,
    IndexError,
    KeyError,
    EOFError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
)
_SRGB = ImageCms.createProfile("sRGB")


class PillowPictures:
    """``max_pixels`` bounds what is decoded: 40 million pixels take 160 MB."""

    def __init__(self, max_pixels: int = 40_000_000, max_bytes: int = 64 * 1024 * 1024) -> None:
        self._max_pixels = max_pixels
        self._max_bytes = max_bytes
        self._threads = ThreadPoolExecutor(1, "pictures")

    async def render(self, source: Path, longest_side: int) -> Picture:
        """JPEG where the picture is opaque, WebP where it is not. Raises BadPicture."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._render, source, longest_side)

    async def close(self) -> None:
        """Let the picture at hand be finished."""
        await asyncio.to_thread(self._threads.shutdown)

    def _render(self, source: Path, longest_side: int) -> Picture:
        try:
            if source.stat().st_size > self._max_bytes:
                raise BadPicture("too_large")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of odd metadata; a bomb is refused by its declared size
                with Image.open(source, formats=_FORMATS) as image:
                    return self._rendered(image, longest_side)
        except Image.DecompressionBombError:
            raise BadPicture("too_large") from None
        except _UNREADABLE:
            raise BadPicture("unreadable") from None

    def _rendered(self, image: Image.Image, longest_side: int) -> Picture:
        width, height = image.size
        if width * height > self._max_pixels or not width or not height:
            raise BadPicture("too_large" if width and height else "unreadable")
        # A JPEG is decoded at a fraction of its size where that is enough.
        image.draft(None, (longest_side * 2, longest_side * 2))
        image.seek(0)
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


def _in_srgb(image: Image.Image) -> Image.Image:
    """As RGB, or RGBA where something shines through; colours of another profile are converted where they can be."""
    is_clear = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "CMYK"):
        try:
            with io.BytesIO(profile) as given:
                converted = ImageCms.profileToProfile(
                    image, ImageCms.ImageCmsProfile(given), ImageCms.ImageCmsProfile(_SRGB), outputMode="RGB"
                )
        except (ImageCms.PyCMSError, OSError, ValueError):
            converted = None  # a broken profile says nothing about the pixels
        if converted is not None:
            return converted
    rgba = image.convert("RGBA") if is_clear else image.convert("RGB")
    if is_clear and rgba.getchannel("A").getextrema() == (255, 255):
        return rgba.convert("RGB")
    return rgba
