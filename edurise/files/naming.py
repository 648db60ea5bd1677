"""Names of files, as they are kept and as they are sent: no path, nothing that a shell, disk or header stumbles on."""

from __future__ import annotations

import re
from typing import Literal
from unicodedata import category, normalize
from urllib.parse import quote

MOST_BYTES = 200
_FALLBACK = "file"
# What Windows takes for devices, whatever the extension (learn.microsoft.com, "Naming Files, Paths, and Namespaces");
# and what it forbids in names.
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(?=\.|$)", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[<>:"|?*]')
_EXTENSION = re.compile(r"[a-z0-9]{1,16}")
# RFC 8187, 3.2.1: what may stand unquoted in an extended value, beside letters and digits.
_ATTR_CHARS = "!#$&+-.^_`|~"


def sanitize(name: str) -> str:
    """The base name of whatever a client calls a file: NFC, at most ``MOST_BYTES`` bytes of UTF-8, never empty.

    Control, format (also those that turn the direction of text) and unassigned characters go; names of devices are
    prefixed. What comes out goes in again unchanged.
    """
    base = re.split(r"[/\\]", name)[-1]
    kept = "".join(one for one in normalize("NFC", base) if category(one)[0] != "C")
    # Any white space is one space before the ends are looked at: what is to go from there is then a space or a dot.
    clean = " ".join(normalize("NFC", _FORBIDDEN.sub("_", kept)).split()).strip(" .") or _FALLBACK
    if _RESERVED.match(clean):
        clean = f"_{clean}"
    return _shortened(clean)


def extension_of(name: str) -> str:
    """What stands behind the last dot, in lower case; "" where nothing does, or nothing that is an extension."""
    stem, dot, extension = name.rpartition(".")
    lowered = extension.lower()
    return lowered if dot and stem and _EXTENSION.fullmatch(lowered) else ""


def disposition(kind: Literal["inline", "attachment"], name: str) -> str:
    """A Content-Disposition (RFC 6266): the name for old readers in ASCII, and exactly (RFC 8187) for the others."""
    stem, tail = _divided(name)
    plain = (_in_ascii(stem).strip(" .") or _FALLBACK) + tail
    exact = quote(name or _FALLBACK, safe=_ATTR_CHARS, encoding="utf-8", errors="replace")
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{exact}"


def _in_ascii(name: str) -> str:
    plain = normalize("NFKD", name).encode("ascii", "ignore").decode()
    # No percent sign: some readers decode it here too.
    return re.sub(r"[^A-Za-z0-9 ._()+,=@-]", "_", plain)


def _divided(name: str) -> tuple[str, str]:
    """What is before the extension, and the extension with its dot, as it is written."""
    length = len(extension_of(name))
    return (name[: -length - 1], name[-length - 1 :]) if length else (name, "")


def _shortened(name: str) -> str:
    """Cut before the extension, and never inside a character."""
    if len(name.encode()) <= MOST_BYTES:
        return name
    stem, tail = _divided(name)
    return stem.encode()[: MOST_BYTES - len(tail)].decode(errors="ignore").rstrip(" .") + tail
