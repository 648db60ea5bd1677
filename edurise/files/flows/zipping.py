"""Many files as one archive: which of them the caller may have, under which names, and why others are left out."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, bindparam, select
from sqlalchemy.orm import Session

from edurise.authz import Principal
from edurise.db import rows
from edurise.errors import Conflict, DomainError
from edurise.files import opening
from edurise.files.flows import serving
from edurise.files.models import File
from edurise.files.opening import Opened, Wish
from edurise.ports import Quotas

if TYPE_CHECKING:
    from edurise.container import Container

SKIPPED_NAME = "_skipped.txt"
_SUMS = select(File.id, File.crc32).where(
    File.tenant_id == bindparam("tenant"), File.id == any_(bindparam("ids", type_=ARRAY(Uuid())))
)


@dataclass(frozen=True)
class Skipped:
    """A file that is left out, and the code and parameters of the reason."""

    file_id: UUID
    code: str
    params: Mapping[str, object]


@dataclass(frozen=True)
class Member:
    """One file of an archive. ``read`` begins to read its bytes, of which size and CRC-32 are known before."""

    name: str
    size: int
    crc32: int
    modified_at: datetime
    read: Callable[[], AsyncIterator[bytes]]


async def archive(
    c: Container, who: Principal, file_ids: Sequence[UUID], tell: Callable[[Skipped], str]
) -> list[Member]:
    """The members of an archive of these files of the acting organization, in the order in which they are named.

    Each is opened as ``opening.open_file`` opens it, which counts it; where some are left out, a text says which, a
    line each by ``tell``. Raises what the first one is refused with where none may be opened, and Upstream
    (STORE_UNAVAILABLE).
    """
    found, skipped = await c.db.run(who, open_each, file_ids, c.keeping.quotas)
    names = unique_names([file.name for file, _ in found])
    members = [_member(c, file, crc32, name) for (file, crc32), name in zip(found, names, strict=True)]
    if skipped:
        said = "".join(f"{one.file_id}: {tell(one)}\n" for one in skipped).encode()
        members.append(Member(SKIPPED_NAME, len(said), zlib.crc32(said), c.clock.now(), lambda: _once(said)))
    return members


def open_each(
    session: Session, who: Principal, file_ids: Sequence[UUID], quotas: Quotas
) -> tuple[list[tuple[Opened, int]], list[Skipped]]:
    """Open each file, or say why not; what one refusal has written is taken back, and nothing else.

    They are opened in the order of their ids, so that two archives never wait for each other. Raises the first refusal
    where nothing can be opened.
    """
    asked = {"tenant": who.tenant, "ids": list(file_ids)}
    sums: dict[UUID, int | None] = {one["id"]: one["crc32"] for one in rows(session, _SUMS, asked)}
    found: dict[UUID, tuple[Opened, int]] = {}
    refusals: dict[UUID, DomainError] = {}
    for file_id in sorted(set(file_ids)):
        try:
            with session.begin_nested():
                file = opening.open_file(session, who, file_id, Wish("attachment"), quotas)
                found[file_id] = (file, _known(sums.get(file_id)))
        except DomainError as refused:
            refusals[file_id] = refused
    named = list(dict.fromkeys(file_ids))
    if not found:
        raise refusals[named[0]]
    skipped = [Skipped(one, refusals[one].code, refusals[one].params) for one in named if one in refusals]
    return [found[one] for one in named if one in found], skipped


def unique_names(names: Iterable[str]) -> list[str]:
    """Each name as it is, or with a number where one before it differs by case at the most; none is that of the text
    about what is skipped."""
    taken = {SKIPPED_NAME}
    found = []
    for name in names:
        stem, dot, extension = name.rpartition(".")
        if not stem:
            stem, dot, extension = name, "", ""
        unique, number = name, 1
        while unique.casefold() in taken:
            number += 1
            unique = f"{stem} ({number}){dot}{extension}"
        taken.add(unique.casefold())
        found.append(unique)
    return found


def _known(crc32: int | None) -> int:
    if crc32 is None:
        raise Conflict("FILE_NOT_READY")
    return crc32


def _member(c: Container, file: Opened, crc32: int, name: str) -> Member:
    store = serving.store_of(c, file.store)
    return Member(name, file.size, crc32, file.modified_at, lambda: store.read(file.key, 0, file.size))


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
