"""Keys of stored objects. They are made here, of a UUID alone: nothing that a client says ever becomes part of one."""

from __future__ import annotations

import re
from uuid import UUID

_KEY = re.compile(r"f/[0-9a-f]{2}/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:\.(?:thumb|tail-[0-9]{1,10}))?")


def of(object_id: UUID, part: str = "") -> str:
    """The key of an object; ``part`` is ``thumb`` or ``tail-<number>``. The middle spreads objects over folders."""
    text = str(object_id)
    return checked(f"f/{text[-2:]}/{text}" + (f".{part}" if part else ""))


def beside(key: str, part: str) -> str:
    """The key of what belongs to an object, for example its ``thumb``."""
    return checked(f"{key.partition('.')[0]}.{part}")


def checked(key: str) -> str:
    """The key itself; raises ValueError for anything that ``of`` does not make."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no key of a stored object")
    return key
