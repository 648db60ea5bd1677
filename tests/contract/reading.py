"""Reads the contract's way of writing fields: ``uuid*``, ``string!``, ``[Course]``, ``{id: uuid, 'bio?': string}``.

"!" the client breaks without it; "*" it shows no real data without it. Both must be there; what has no mark may be
absent, and has the written type if it is there.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml

FILES = Path(__file__).parent / "files"
CALLS = ("identity", "organizations", "courses", "learning", "payments", "notifications", "ai", "live", "files")
_WORDS = re.compile(r"[a-z_]+(\|[a-z_]+)+")


@cache
def calls() -> dict[str, dict[str, Any]]:
    """Every call of the copied files, by its id."""
    return {call["id"]: call for name in CALLS for call in _load(name)}


@cache
def shape(name: str) -> dict[str, Any]:
    """The fields of a shared object."""
    found = {one["id"]: one["fields"] for one in _load("shapes")}
    fields: dict[str, Any] = found[f"shape.{name}"]
    return fields


def _load(name: str) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = yaml.safe_load((FILES / f"{name}.yaml").read_text())
    return loaded


def faults(spec: Any, value: Any, where: str = "data") -> list[str]:
    """What of ``value`` a client would stumble over, by the contract's fields ``spec``."""
    if isinstance(spec, dict):
        return _of_object(spec, value, where)
    if isinstance(spec, list):
        if not isinstance(value, list):
            return [f"{where}: no list"]
        return [fault for number, one in enumerate(value) for fault in faults(spec[0], one, f"{where}.{number}")]
    return _of_text(str(spec), value, where)


def _of_object(spec: dict[str, Any], value: Any, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: no object"]
    wrong = []
    for name, inner in spec.items():
        key = name.rstrip("?*!")
        if not re.fullmatch(r"[a-z_]+", key) or key in ("_", "remark", "serve"):
            continue
        if name.endswith("?") and value.get(key) is None:
            continue
        if key in value:
            wrong += faults(inner, value[key], f"{where}.{key}")
        elif _needed(inner):
            wrong.append(f"{where}.{key}: missing")
    return wrong


def _needed(spec: Any) -> bool:
    if isinstance(spec, dict):
        return _needed(spec.get("_", ""))
    if isinstance(spec, list):
        return False
    word = str(spec).split(" ")[0]
    return word.endswith(("!", "*"))


def _of_text(spec: str, value: Any, where: str) -> list[str]:
    word = spec.split(" ", maxsplit=1)[0].rstrip("*!,;")
    if value is None:
        nullable = "null" in spec and "non-null" not in spec.split("(", maxsplit=1)[0]
        return [] if nullable or not _needed(spec) else [f"{where}: null"]
    if word.startswith("[") and word.endswith("]"):
        return faults([word[1:-1]], value, where)
    if spec.startswith("Page of "):
        page = {
            "count": "int!",
            "next": "url|null",
            "previous": "url|null",
            "results": [spec.removeprefix("Page of ").rstrip("!*")],
        }
        return faults(page, value, where)
    if word[:1].isupper() and word.isalpha() and not word.isupper():
        return _of_object(shape(word), value, where)
    check = _TYPES.get(word.split("|")[0])
    if check is not None:
        return [] if check(value) else [f"{where}: {value!r} is no {word}"]
    if _WORDS.fullmatch(word):
        return [] if value in word.split("|") else [f"{where}: {value!r} is none of {word}"]
    return []


def _is_uuid(value: Any) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value
    except ValueError:
        return False


def _is_instant(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES = {
    "uuid": _is_uuid,
    "string": lambda value: isinstance(value, str),
    "html": lambda value: isinstance(value, str),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": _is_number,
    "NUMBER": _is_number,
    "ISO": lambda value: re.fullmatch("[A-Z]{3}", value) is not None,
    "bool": lambda value: isinstance(value, bool),
    "iso": _is_instant,
    "url": lambda value: isinstance(value, str) and value.startswith(("http://", "https://")),
    "object": lambda value: isinstance(value, dict),
    "'#RRGGBB'": lambda value: isinstance(value, str),
    "#RRGGBB": lambda value: re.fullmatch(r"#[0-9A-Fa-f]{6}", value) is not None,
}
