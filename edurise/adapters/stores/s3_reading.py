"""What is read from S3: the body of an object, and lists, which come in pages."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from edurise.adapters.stores.s3_bucket import S3Bucket, told
from edurise.adapters.stores.s3_client import NETWORK, STORE, S3Calls, unavailable
from edurise.files.keys import checked
from edurise.files.ports import Part, Stored, StoreUnavailable, Unfinished

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from types_boto3_s3 import S3Client as Boto
    from types_boto3_s3.type_defs import ListMultipartUploadsOutputTypeDef

PIECE_BYTES = 1_048_576
PREFIX = "f/"
PAGE = 1000
"""Rows of a list in one answer, as many as S3 gives."""


class Download:
    """The body of an object, or of a range of it. ``open`` may be tried again; ``close`` it in any case."""

    def __init__(self, bucket: str, key: str, start: int, length: int | None) -> None:
        self._asked: dict[str, Any] = {"Bucket": bucket, "Key": key}
        if start or length is not None:
            last = "" if length is None else str(start + length - 1)
            self._asked["Range"] = f"bytes={start}-{last}"
        self._start = start
        self._length = length
        self._left = 0
        self._lock = threading.Lock()
        self._body: StreamingBody | None = None
        self._is_closed = False

    def open(self, s3: Boto) -> None:
        """Ask for it, in a thread. Raises StoreUnavailable where another range is answered than was asked for."""
        answer = s3.get_object(**self._asked)
        body, left = answer["Body"], answer["ContentLength"]
        with self._lock:
            before, self._body = self._body, body
            self._left = left
            is_closed = self._is_closed
        if before is not None:
            before.close()  # of an attempt that was given up too early
        if is_closed:
            body.close()
        told(answer, "ETag")
        if self._length is not None and left < self._length:
            raise StoreUnavailable(STORE, "truncated")
        if "Range" in self._asked and not _is_range(answer.get("ContentRange", ""), self._start, left, self._length):
            raise StoreUnavailable(STORE, "range")

    async def piece(self, calls: S3Calls) -> bytes:
        """The next bytes, none at the end. Raises StoreUnavailable."""
        body = self._body
        if body is None or not self._left:
            return b""
        wanted = min(PIECE_BYTES, self._left)
        try:
            piece = await calls.receive(lambda: body.read(wanted))
        except (TimeoutError, *NETWORK) as failed:
            raise unavailable(failed) from None
        if len(piece) != wanted:
            raise StoreUnavailable(STORE, "truncated")
        self._left -= wanted
        return piece

    def close(self) -> None:
        """Give the connection back, or end it where not all was read."""
        with self._lock:
            self._is_closed = True
            body, self._body = self._body, None
        if body is not None:
            body.close()


def parts_of(s3: Boto, bucket: str, key: str, upload: str) -> list[list[Part]]:
    """For each number the parts that were stored last under it: one, or several of one time."""
    found: dict[int, tuple[datetime, list[Part]]] = {}
    asked: dict[str, Any] = {"Bucket": bucket, "Key": key, "UploadId": upload, "MaxParts": PAGE}
    while True:
        answer = s3.list_parts(**asked)
        for one in answer.get("Parts", ()):
            part = Part(one["PartNumber"], one["Size"], one["ETag"].strip('"'))
            at, known = found.get(part.number, (one["LastModified"], []))
            if one["LastModified"] > at:
                known = []
            if one["LastModified"] >= at:
                found[part.number] = (one["LastModified"], [*known, part])
        marker = answer.get("NextPartNumberMarker")
        if not told(answer, "IsTruncated") or not marker or marker == asked.get("PartNumberMarker"):
            return [parts for _, (_, parts) in sorted(found.items())]
        asked["PartNumberMarker"] = marker


async def pages_of_objects(bucket: S3Bucket) -> AsyncIterator[list[Stored]]:
    """All objects whose keys are ours."""
    asked: dict[str, Any] = {"Bucket": bucket.name, "Prefix": PREFIX, "MaxKeys": PAGE}
    while True:
        answer = await bucket.ask(lambda s3: s3.list_objects_v2(**asked))
        yield [
            Stored(one["Key"], one["Size"], one["LastModified"].astimezone(UTC))
            for one in answer.get("Contents", ())
            if _is_key(one["Key"])
        ]
        if not told(answer, "IsTruncated"):
            return
        asked["ContinuationToken"] = answer["NextContinuationToken"]


async def pages_of_uploads(bucket: S3Bucket) -> AsyncIterator[list[Unfinished]]:
    """All uploads in parts whose keys are ours."""
    markers: dict[str, Any] = {}
    while True:
        before = markers
        answer = await bucket.ask(partial(_uploads, bucket=bucket.name, markers=before))
        yield [
            Unfinished(one["Key"], one["UploadId"], one["Initiated"].astimezone(UTC))
            for one in answer.get("Uploads", ())
            if _is_key(one["Key"])
        ]
        # SeaweedFS tells one of the two markers only, and starts at the wrong place where it is given both.
        both = {"KeyMarker": answer.get("NextKeyMarker"), "UploadIdMarker": answer.get("NextUploadIdMarker")}
        markers = {name: marker for name, marker in both.items() if marker}
        if not told(answer, "IsTruncated") or markers in ({}, before):
            return


def _uploads(s3: Boto, *, bucket: str, markers: dict[str, Any]) -> ListMultipartUploadsOutputTypeDef:
    return s3.list_multipart_uploads(Bucket=bucket, Prefix=PREFIX, MaxUploads=PAGE, **markers)


def _is_range(told: str, start: int, size: int, length: int | None) -> bool:
    """Whether a Content-Range says ``size`` bytes from ``start``, and, without a length, that they are the last."""
    with suppress(ValueError):
        unit, _, rest = told.partition(" ")
        stretch, _, total = rest.partition("/")
        first, _, last = stretch.partition("-")
        ends = length is not None or int(total) == int(last) + 1
        return unit == "bytes" and int(first) == start and int(last) == start + size - 1 and ends
    return False


def _is_key(text: str) -> bool:
    try:
        return bool(checked(text))
    except ValueError:
        return False
