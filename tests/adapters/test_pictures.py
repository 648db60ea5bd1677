"""Pictures made anew from files of every kind, and from files that are made to do harm."""

from __future__ import annotations

import asyncio
import io
import random
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from edurise.adapters.pillow_pictures import PillowPictures
from edurise.files.ports import BadPicture, Picture

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# The same colours, but what it calls red is green: the tags of two primaries with each other's names.
SWAPPED = SRGB.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
Render = Callable[..., Picture]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def render(folder: Path) -> Iterator[Render]:
    pictures = PillowPictures()

    def call(content: bytes, side: int = 320, by: PillowPictures = pictures) -> Picture:
        path = folder / "picture"
        path.write_bytes(content)
        return asyncio.run(by.render(path, side))

    yield call
    asyncio.run(pictures.close())


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def opened(made: Picture) -> Image.Image:
    image = Image.open(io.BytesIO(made.content))
    image.load()
    assert image.size == (made.width, made.height)
    assert image.format == {"image/jpeg": "JPEG", "image/webp": "WEBP"}[made.media_type]
    return image


def is_like(found: tuple[int, ...], wanted: tuple[int, ...], by: int = 12) -> bool:
    return all(abs(one - other) <= by for one, other in zip(found, wanted, strict=True))


def halves(size: tuple[int, int] = (400, 200)) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    return image


# -- what is a picture ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "MPO"])
def test_every_kind_is_made_anew_and_no_larger_than_wanted(render: Render, kind: str) -> None:
    image = opened(render(encoded(halves(), kind), 100))
    assert (image.size, image.format, image.mode) == ((100, 50), "JPEG", "RGB")
    assert is_like(image.getpixel((20, 25)), RED)
    assert is_like(image.getpixel((80, 25)), BLUE)


def test_a_small_one_is_not_made_larger(render: Render) -> None:
    assert opened(render(encoded(halves((40, 20)), "PNG"))).size == (40, 20)
    assert opened(render(encoded(halves((3000, 2)), "PNG"), 100)).size == (100, 1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_it_is_turned_as_its_exif_says_and_nothing_of_that_is_left(render: Render, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    exif[0x010E] = "at home, 52.5200 N 13.4050 E"
    comment = {"comment": b"at home"} if kind == "JPEG" else {}
    made = render(encoded(halves(), kind, exif=exif, icc_profile=SRGB, **comment))
    image = opened(made)
    assert image.size == (160, 320)
    assert is_like(image.getpixel((80, 40)), RED)
    assert is_like(image.getpixel((80, 280)), BLUE)
    assert (dict(image.getexif()), set(image.info) & {"exif", "icc_profile", "comment", "xmp"}) == ({}, set())
    assert b"home" not in made.content


@pytest.mark.parametrize("profile", [None, SRGB])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_what_shines_through_still_does(render: Render, kind: str, profile: bytes | None) -> None:
    image = Image.new("RGBA", (60, 60), (255, 0, 0, 100))
    found = opened(render(encoded(image, kind, icc_profile=profile)))
    assert (found.format, found.mode) == ("WEBP", "RGBA")
    assert is_like(found.getpixel((30, 30)), (255, 0, 0, 100))


@pytest.mark.parametrize("profile", [None, SRGB])
def test_a_colour_that_is_declared_transparent_is(render: Render, profile: bytes | None) -> None:
    found = opened(render(encoded(halves(), "PNG", transparency=RED, icc_profile=profile)))
    assert [found.getpixel((x, 80))[3] for x in (20, 300)] == [0, 255]
    palette = halves().convert("P", palette=Image.Palette.ADAPTIVE, colors=2)
    index = palette.getpixel((0, 0))
    found = opened(render(encoded(palette, "GIF", transparency=index)))
    assert [found.getpixel((x, 80))[3] for x in (20, 300)] == [0, 255]


def test_transparency_that_is_nowhere_is_none(render: Render) -> None:
    assert opened(render(encoded(halves().convert("RGBA"), "PNG"))).format == "JPEG"


@pytest.mark.parametrize(
    ("mode", "kind", "colour", "shown"),
    [
        ("1", "PNG", 1, (255, 255, 255)),
        ("L", "PNG", 100, (100, 100, 100)),
        ("LA", "PNG", (100, 50), (100, 100, 100, 50)),
        ("I;16", "PNG", 100 * 256, (100, 100, 100)),
        ("I;16", "TIFF", 100 * 256, (100, 100, 100)),
        ("CMYK", "JPEG", (0, 255, 255, 0), RED),
        ("CMYK", "TIFF", (0, 255, 255, 0), RED),
    ],
)
def test_pixels_of_every_kind(
    render: Render, mode: str, kind: str, colour: int | tuple[int, ...], shown: tuple[int, ...]
) -> None:
    found = opened(render(encoded(Image.new(mode, (40, 40), colour), kind)))
    assert is_like(found.getpixel((20, 20)), shown)


@pytest.mark.parametrize(("mode", "colour"), [("RGB", RED), ("RGBA", (*RED, 100))])
def test_colours_of_a_profile_are_converted(render: Render, mode: str, colour: tuple[int, ...]) -> None:
    image = Image.new(mode, (40, 40), colour)
    found = opened(render(encoded(image, "PNG", icc_profile=SWAPPED)))
    assert is_like(found.getpixel((20, 20)), (*GREEN, *colour[3:]))
    for broken in (b"x" * 200, SRGB[:300], SRGB[:16] + b"CMYK" + SRGB[20:]):
        found = opened(render(encoded(image, "PNG", icc_profile=broken)))
        assert is_like(found.getpixel((20, 20)), colour)


def test_of_an_animation_the_first_picture(render: Render) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in (RED, GREEN, BLUE)]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert is_like(opened(render(content)).getpixel((20, 20)), RED), kind


@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {"compress_level": 1}), ("WEBP", {"method": 0})],
)
def test_a_photo_of_twelve_million_pixels_takes_less_than_a_second(
    render: Render, kind: str, options: dict[str, object]
) -> None:
    content = encoded(Image.effect_noise((4000, 3000), 60).convert("RGB"), kind, **options)
    began = time.process_time()
    assert opened(render(content, 1024)).size == (1024, 768)
    assert time.process_time() - began < 1.0


# -- what is none ---------------------------------------------------------------------------------------------------


def png(width: int, height: int, *more: tuple[bytes, bytes], data: bytes = b"\0" * 10_000_000) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def jpeg(width: int, height: int) -> bytes:
    content = bytearray(encoded(halves(), "JPEG"))
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def gif(width: int, height: int) -> bytes:
    content = bytearray(encoded(halves(), "GIF"))
    content[6:10] = struct.pack("<HH", width, height)
    return bytes(content)


def gif_frame(width: int, height: int) -> bytes:
    """The frame is larger than what the screen is said to be."""
    content = bytearray(gif(10, 10))
    at = content.index(b"\x2c\0\0\0\0")
    content[at + 5 : at + 9] = struct.pack("<HH", width, height)
    return bytes(content)


def bmp(width: int, height: int) -> bytes:
    content = bytearray(encoded(halves(), "BMP"))
    content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)


def webp(width: int, height: int) -> bytes:
    content = bytearray(encoded(halves().convert("RGBA"), "WEBP", exif=Image.Exif(), icc_profile=SRGB))
    at = content.index(b"VP8X")
    content[at + 12 : at + 18] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(content)


def tiff(width: int, height: int) -> bytes:
    tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), (279, 100)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("make", [png, jpeg, gif, gif_frame, bmp, tiff])
@pytest.mark.parametrize("size", [(7000, 6000), (60_000, 60_000)])
def test_what_says_that_it_is_huge_is_not_decoded(
    render: Render, make: Callable[[int, int], bytes], size: tuple[int, int]
) -> None:
    """42 million pixels are below what Pillow warns of, 3.6 billion above what it refuses."""
    content = make(*size)
    assert len(content) < 300_000
    began = time.process_time()
    with pytest.raises(BadPicture) as bad:
        render(content)
    assert bad.value.reason == "too_large"
    assert time.process_time() - began < 0.5


def test_a_webp_whose_canvas_is_huge_is_not_decoded(render: Render) -> None:
    # libwebp itself refuses a canvas that its picture does not fill.
    with pytest.raises(BadPicture):
        render(webp(16_000, 16_000))


def test_the_bound_is_exact(render: Render) -> None:
    small = PillowPictures(max_pixels=200 * 100, max_bytes=5000)
    try:
        assert render(encoded(halves((200, 100)), "PNG"), by=small).width == 200
        for content in (encoded(halves((201, 100)), "PNG"), bytes(5001)):
            with pytest.raises(BadPicture) as bad:
                render(content, by=small)
            assert bad.value.reason == "too_large"
    finally:
        asyncio.run(small.close())


def test_a_jpeg_of_thousands_of_passes_is_not_decoded(render: Render) -> None:
    """Each repeats the last one, in a few bytes; a decoder would go over all pixels for each."""
    content = encoded(Image.new("RGB", (4000, 3000)), "JPEG", progressive=True)
    assert opened(render(content)).width == 320
    last = content[content.rindex(b"\xff\xda") : -2]
    began = time.process_time()
    with pytest.raises(BadPicture) as bad:
        render(content[:-2] + last * 2000 + content[-2:])
    assert bad.value.reason == "too_large"
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("name", "before"),
    [(b"zTXt", b"k\0\0"), (b"iTXt", b"k\0\1\0\0\0"), (b"iCCP", b"k\0\0")],
    ids=["zTXt", "iTXt", "iCCP"],
)
def test_a_chunk_that_swells_is_not_unpacked(render: Render, name: bytes, before: bytes) -> None:
    with pytest.raises(BadPicture) as bad:
        render(png(10, 10, (name, before + zlib.compress(bytes(200_000_000), 9)), data=bytes(310)))
    assert bad.value.reason == "unreadable"
    small = before + zlib.compress(b"a text")
    assert opened(render(png(10, 10, (name, small), data=bytes(310)))).size == (10, 10)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_what_is_cut_off_is_none(render: Render, kind: str) -> None:
    content = encoded(Image.effect_noise((200, 100), 60).convert("RGB"), kind)
    for part in (0, 1, 8, 40, len(content) // 3, len(content) * 2 // 3):
        with pytest.raises(BadPicture) as bad:
            render(content[:part])
        assert bad.value.reason == "unreadable"


@pytest.mark.parametrize("kind", ["PPM", "ICO", "TGA", "PCX", "SGI", "EPS", "PDF", "JPEG2000"])
def test_kinds_that_nobody_needs_have_no_decoder(render: Render, kind: str) -> None:
    with pytest.raises(BadPicture) as bad:
        render(encoded(halves((64, 64)), kind))
    assert bad.value.reason == "unreadable"


def _samples() -> list[bytes]:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "x" * 50
    image = Image.effect_noise((60, 40), 60).convert("RGB")
    made = [encoded(image, kind, exif=exif, icc_profile=SRGB) for kind in ("JPEG", "PNG", "WEBP", "TIFF")]
    return [*made, encoded(image, "GIF"), encoded(image, "BMP"), encoded(image.convert("RGBA"), "PNG")]


SAMPLES = _samples()


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(SAMPLES), st.integers(1, 30), st.integers(0, 2**32))
def test_a_damaged_file_is_a_picture_or_is_none(render: Render, content: bytes, changes: int, seed: int) -> None:
    damaged, chance = bytearray(content), random.Random(seed)
    for _ in range(changes):
        damaged[chance.randrange(min(len(damaged), chance.choice((64, 400, len(damaged)))))] = chance.randrange(256)
    try:
        made = render(bytes(damaged), 32)
    except BadPicture:
        return
    assert max(opened(made).size) <= 32


def test_whatever_a_decoder_raises_it_is_no_picture(render: Render, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(image: Image.Image) -> Image.Image:
        raise TypeError("bad operand type for abs(): 'str'")

    monkeypatch.setattr("edurise.adapters.pillow_pictures.ImageOps.exif_transpose", fail)
    with pytest.raises(BadPicture):
        render(SAMPLES[0])


def test_a_disk_that_fails_is_no_fault_of_the_picture(render: Render, folder: Path) -> None:
    async def run() -> None:
        pictures = PillowPictures()
        try:
            with pytest.raises(FileNotFoundError):
                await pictures.render(folder / "nowhere", 10)
        finally:
            await pictures.close()

    asyncio.run(run())


def test_the_loop_goes_on_meanwhile_and_the_end_waits(folder: Path) -> None:
    async def run() -> None:
        path = folder / "large"
        path.write_bytes(encoded(Image.effect_noise((4000, 3000), 60), "PNG", compress_level=1))
        pictures = PillowPictures()
        rendering = asyncio.ensure_future(pictures.render(path, 1024))
        await asyncio.sleep(0)
        assert not rendering.done()
        await pictures.close()
        assert (await rendering).width == 1024
        with pytest.raises(RuntimeError):
            await pictures.render(path, 10)

    asyncio.run(run())
