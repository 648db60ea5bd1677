"""Files of a world: forms as browsers send them, and files in whatever state a test needs."""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

from PIL import Image
from sqlalchemy.orm import Session

from edurise.files.models import File, FileShare
from tests.harness.client import Answer
from tests.harness.world import Someone, World

FILES = "/api/v1/file-uploads/"
TEXT = b"Over, under, around and through.\n"


def form(
    content: bytes, name: str, fields: Mapping[str, str], field: str = "file", *, first: bool = True
) -> tuple[bytes, str]:
    """A form's body and its Content-Type; the file stands before the other fields, as browsers of the client send it,
    or after them."""
    boundary = uuid4().hex
    quoted = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    file = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{quoted}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode() + content
    others = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}'.encode()
        for key, value in fields.items()
    ]
    parts = [file, *others] if first else [*others, file]
    return b"\r\n".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"


async def upload(
    world: World, who: Someone, content: bytes = TEXT, name: str = "knots.txt", path: str = FILES, **fields: Any
) -> Answer:
    """A form sent as somebody; without a category it goes to the documents. Headers are given as ``headers``."""
    headers = dict(fields.pop("headers", {}))
    given = {"category": "documents"} | {
        key: json.dumps(value) if isinstance(value, list) else str(value) for key, value in fields.items()
    }
    body, media = form(content, name, given)
    client = world.of(who, **{"X-Tenant-ID": str(who.tenant_id)})
    return await client.call("POST", path, raw=body, headers={"Content-Type": media} | headers)


async def kept(world: World, who: Someone, content: bytes = TEXT, name: str = "knots.txt", **fields: Any) -> UUID:
    """A file that somebody uploaded and that may be opened; returns its id."""
    answer = await upload(world, who, content, name, **fields)
    assert answer.status == 201, answer.content
    file_id = UUID(answer.data["id"])
    settle(world, file_id, content)
    return file_id


def settle(world: World, file_id: UUID, content: bytes, **values: Any) -> None:
    """What the inspection of a clean file leaves; ``values`` are columns that are to be otherwise."""

    def write(session: Session) -> None:
        file = session.get_one(File, file_id)
        file.sha256, file.crc32 = hashlib.sha256(content).hexdigest(), zlib.crc32(content)
        file.state, file.scan = "ready", "not_scanned"
        for name, value in values.items():
            setattr(file, name, value)

    world.c.db.system_sync(write)


def picture(size: tuple[int, int] = (400, 300), kind: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    """A picture of two colours; with transparency where the mode has it."""
    out = io.BytesIO()
    image = Image.new(mode, size, (200, 30, 30, 0)[: len(mode)])
    image.paste((20, 200, 20, 255)[: len(mode)], (0, 0, size[0] // 2, size[1] // 2))
    image.save(out, kind, **options)
    return out.getvalue()


def shared(world: World, file_id: UUID, person: Someone) -> None:
    """Share a file with somebody, as its owner would."""

    def write(session: Session) -> None:
        file = session.get_one(File, file_id)
        now = world.clock.now()
        row = FileShare(tenant_id=file.tenant_id, file_id=file_id, person_id=person.id, created_at=now)
        row.shared_by = file.owner_id
        session.add(row)

    world.c.db.system_sync(write)


def column(world: World, file_id: UUID, name: str) -> Any:
    """One column of a file."""
    return world.c.db.system_sync(lambda session: getattr(session.get_one(File, file_id), name))
