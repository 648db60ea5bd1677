"""Resumable uploads by tus 1.0.0 (https://tus.io/protocols/resumable-upload), with the extensions creation,
creation-with-upload, checksum, termination and expiration."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any, ClassVar
from uuid import UUID

from tornado.httputil import format_timestamp

from edurise.errors import Invalid, PreconditionFailed, Problem, UnsupportedMedia
from edurise.files.flows import arriving, resuming
from edurise.files.flows.resuming import ALGORITHMS, Checksum, Progress
from edurise.files.permissions import Files
from edurise.streams import Pipe
from handlers.callers import public_base
from handlers.files.uploads import KEEPING
from handlers.guards import Guard, describe, permit
from handlers.receiving import ReceivingHandler
from schemas.file_uploads import RawBytes, read_metadata

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,checksum,termination,expiration"
BYTES = "application/offset+octet-stream"
TAGS = ["resumable uploads"]
_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)
_WRITING = ["UPLOAD_BUSY", "UPLOAD_OFFSET_MISMATCH", "UPLOAD_GONE", "FILE_TYPE_MISMATCH", "CHECKSUM_MISMATCH",
            "STORE_UNAVAILABLE", "TUS_VERSION_NOT_SUPPORTED"]  # fmt: skip


class TusHandler(ReceivingHandler):
    """Speaks the protocol's headers; a request in another version is refused before anything is done."""

    streaming: ClassVar[tuple[str, ...]] = ("POST", "PATCH")

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Tus-Resumable", VERSION)
        self.set_header("Tus-Version", VERSION)
        self.set_header("Cache-Control", "no-store")

    async def _admit(self, guard: Guard) -> None:
        if self.request.headers.get("Tus-Resumable") != VERSION:
            raise PreconditionFailed("TUS_VERSION_NOT_SUPPORTED")
        await super()._admit(guard)

    def options(self, **given: object) -> None:
        """What this server speaks, beside the answer to a browser's preflight."""
        super().options(**given)
        self.set_header("Tus-Extension", EXTENSIONS)
        self.set_header("Tus-Max-Size", str(self.stream_limit))
        self.set_header("Tus-Checksum-Algorithm", ",".join(ALGORITHMS))

    @property
    def stream_limit(self) -> int:
        return max(self.c.keeping.limits.file_bytes.values())

    def number(self, name: str) -> int:
        """A header that is a number of bytes. Raises Invalid."""
        value = self.request.headers.get(name, "")
        if not _NUMBER.fullmatch(value):
            raise Invalid(errors={name: [Problem("bad_upload_header", {"name": name})]})
        return int(value)

    def checksum(self) -> Checksum | None:
        """``Upload-Checksum``. Raises Invalid for another algorithm and for what is no digest."""
        value = self.request.headers.get("Upload-Checksum")
        if value is None:
            return None
        algorithm, _, digest = value.partition(" ")
        try:
            wanted = base64.b64decode(digest, validate=True)
        except ValueError:  # also what is not ASCII
            wanted = b""
        if algorithm not in ALGORITHMS or len(wanted) != hashlib.new(algorithm, usedforsecurity=False).digest_size:
            raise Invalid(errors={"Upload-Checksum": [Problem("bad_upload_header", {"name": "Upload-Checksum"})]})
        return Checksum(algorithm, wanted)

    def check_media(self) -> None:
        """Raises UnsupportedMedia for a body that is not declared to be the next bytes."""
        if self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != BYTES:
            raise UnsupportedMedia(accepted=BYTES)

    def tell(self, status: int, progress: Progress) -> None:
        """Answer with headers alone."""
        self.set_status(status)
        self.clear_header("Content-Type")
        self.set_header("Upload-Offset", str(progress.offset))
        self.set_header("Upload-Expires", format_timestamp(progress.expires_at))
        self.finish()


class TusUploadsHandler(TusHandler):
    """New uploads."""

    @permit(Files.KEEP)
    @describe(
        summary="Begin a resumable upload (tus): Upload-Length, and what is said of the file in Upload-Metadata",
        tags=TAGS,
        status=201,
        shape="headers",
        errors=[*KEEPING, *_WRITING, "VALIDATION_ERROR"],
    )
    async def post(self) -> None:
        """`Upload-Metadata` holds `filename` and `category`, and may hold the other fields of the form. The answer's
        `Location` is where the bytes go; the first of them may come along."""
        progress: Progress = await self.received()
        base = public_base(self.request, self.c.settings)
        self.set_header("Location", f"{base}{_ROOT}/{progress.id}/")
        self.tell(201, progress)

    async def receive(self, pipe: Pipe) -> Any:
        size = self.number("Upload-Length")
        described_as = self.request.headers.get("Upload-Metadata", "")
        data = read_metadata(described_as)
        checksum = self.checksum()
        first = await pipe.read()
        if first:
            self.check_media()
        source = pipe.after(first) if first else None
        name = data.pop("filename")
        return await resuming.create(self.c, self.who, name, size, data, source, checksum, described_as)


class TusUploadHandler(TusHandler):
    """An upload that goes on."""

    streaming: ClassVar[tuple[str, ...]] = ("PATCH",)

    @permit(Files.UPLOAD)
    @describe(
        summary="How far a resumable upload has come (tus)",
        tags=TAGS,
        shape="headers",
        errors=["UPLOAD_GONE", "TUS_VERSION_NOT_SUPPORTED"],
    )
    async def head(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        progress = await resuming.progress(self.c, self.who, id)
        self.set_header("Upload-Length", str(progress.size))
        self.set_header("Upload-Metadata", progress.described_as)
        self.tell(200, progress)

    @permit(Files.UPLOAD)
    @describe(
        summary="Add the next bytes of a resumable upload, at Upload-Offset (tus)",
        tags=TAGS,
        body=RawBytes,
        status=204,
        shape="headers",
        media_types=[BYTES],
        errors=_WRITING,
    )
    async def patch(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        """`Upload-Checksum` makes the server take all of the bytes or none. With the last byte the file is
        inspected."""
        _ = id
        self.tell(204, await self.received())

    @permit(Files.UPLOAD)
    @describe(
        summary="Give a resumable upload up (tus)",
        tags=TAGS,
        status=204,
        shape="headers",
        errors=["STORE_UNAVAILABLE", "TUS_VERSION_NOT_SUPPORTED"],
    )
    async def delete(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        await arriving.give_up(self.c, self.who, id)
        self.set_status(204)
        self.clear_header("Content-Type")
        self.finish()

    async def receive(self, pipe: Pipe) -> Any:
        self.check_media()
        values: dict[str, Any] = self.path_kwargs
        offset, checksum = self.number("Upload-Offset"), self.checksum()
        return await resuming.append(self.c, self.who, values["id"], offset, aiter(pipe), checksum)


_ROOT = "/api/v1/file-uploads/tus"
routes = [(f"{_ROOT}/", TusUploadsHandler), (f"{_ROOT}/{{id:uuid}}/", TusUploadHandler)]
aliases: list[tuple[str, str, str]] = []
