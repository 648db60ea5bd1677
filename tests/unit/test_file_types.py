"""The table of types, and which names and bytes belong together."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from edurise.files import types

EXTENSIONS = sorted(types._BY_EXTENSION)
OFFICE = "application/vnd.openxmlformats-officedocument"
ACTIVE = ("text/html", "image/svg+xml", "application/xml", "application/x-executable")


def test_each_extension_and_each_media_type_stands_there_once() -> None:
    extensions = Counter(name for one in types.TYPES for name in one.extensions)
    media_types = Counter(one.media_type for one in types.TYPES)
    assert {*extensions.values(), *media_types.values()} == {1}
    assert all(re.fullmatch(r"[a-z0-9]{1,16}", name) for name in extensions)
    assert all(re.fullmatch(r"[a-z]+/[a-z0-9.+-]+", one) for one in media_types)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_type_is_found_by_its_names(extension: str) -> None:
    found = types.of_extension(extension)
    assert types.is_known(extension)
    assert extension in found.extensions
    assert types.of_media_type(found.media_type) is found
    assert types.agree(extension, found.media_type) == found.media_type


def test_what_is_not_known_is_other() -> None:
    for extension in ("exe", "", "JPG", ".jpg", "js"):
        assert types.of_extension(extension) is types.OTHER
        assert not types.is_known(extension)
    for media_type in ("text/javascript", "", "IMAGE/PNG"):
        assert types.of_media_type(media_type) is types.OTHER
    assert (types.OTHER.group, types.OTHER.is_inline_safe) == ("other", False)


def test_only_what_runs_nothing_is_shown_inline() -> None:
    shown = {name for one in types.TYPES if one.is_inline_safe for name in one.extensions}
    assert shown == {
        *("jpg", "jpeg", "png", "gif", "webp", "avif", "pdf", "txt", "log"),
        *("mp4", "m4v", "webm", "ogv", "mp3", "m4a", "ogg", "oga", "opus", "wav"),
    }
    for media_type in (*ACTIVE, "application/xhtml+xml", "text/javascript", "text/xml", "application/json", "text/css"):
        assert not types.of_media_type(media_type).is_inline_safe


@pytest.mark.parametrize("extension", [one for one in EXTENSIONS if types.of_extension(one).is_inline_safe])
def test_nothing_active_is_shown_under_a_harmless_name(extension: str) -> None:
    assert {types.agree(extension, one) for one in ACTIVE} == {None}


@pytest.mark.parametrize(
    ("extension", "detected", "kept"),
    [
        ("txt", "text/plain", "text/plain"),
        ("log", "text/plain", "text/plain"),
        ("csv", "text/plain", "text/csv"),
        ("md", "text/plain", "text/markdown"),
        ("md", "text/html", "text/markdown"),
        ("json", "text/plain", "application/json"),
        ("txt", "text/html", None),
        ("csv", "text/html", None),
        ("md", "image/svg+xml", None),
        ("txt", "image/png", None),
        ("html", "text/html", "text/html"),
        ("html", "text/plain", None),
        ("svg", "image/svg+xml", "image/svg+xml"),
        ("svg", "text/plain", None),
        ("docx", f"{OFFICE}.wordprocessingml.document", f"{OFFICE}.wordprocessingml.document"),
        ("docx", "application/zip", None),
        ("docx", f"{OFFICE}.spreadsheetml.sheet", None),
        ("docx", "application/vnd.ms-word.document.macroEnabled.12", None),
        ("zip", "application/zip", "application/zip"),
        ("zip", f"{OFFICE}.wordprocessingml.document", None),
        ("doc", "application/x-ole-storage", "application/msword"),
        ("jpg", "image/jpeg", "image/jpeg"),
        ("jpeg", "image/jpeg", "image/jpeg"),
        ("jpg", "image/png", None),
        ("ogg", "application/ogg", "audio/ogg"),
        ("ogv", "application/ogg", "video/ogg"),
        ("m4a", "video/mp4", "audio/mp4"),
        ("mp4", "audio/mp4", None),
        ("pdf", types.UNKNOWN_TYPE, None),
        ("exe", "application/x-executable", None),
        ("", "text/plain", None),
    ],
)
def test_what_a_name_and_bytes_come_to(extension: str, detected: str, kept: str | None) -> None:
    assert types.agree(extension, detected) == kept


def test_each_group_has_somebody() -> None:
    assert {one.group for one in types.TYPES} == {"image", "video", "audio", "document", "text", "archive"}
