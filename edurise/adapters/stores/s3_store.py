"""Objects in a bucket of any service that speaks S3 (https://docs.aws.amazon.com/AmazonS3/latest/API/), behind the port
``FileStore``. Clients are sent to it by presigned URLs.

Nothing is believed that was not checked: a body travels with its Content-MD5, what was stored is compared with what was
sent by ETag and size, what is read is counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edurise.adapters.resilience import CircuitBreaker, RetryBudget
from edurise.adapters.stores.disk_threads import DiskThreads
from edurise.adapters.stores.s3_bucket import S3Bucket
from edurise.adapters.stores.s3_client import STORE, S3Calls, connect
from edurise.adapters.stores.s3_reading import Download, pages_of_objects, pages_of_uploads, parts_of
from edurise.adapters.stores.spool import Intake, Spool
from edurise.files.keys import checked
from edurise.files.ports import ObjectMissing, Part, Stored, StoreUnavailable, Unfinished

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client as Boto

_log = logging.getLogger(__name__)

MOST_PARTS = 10_000
_DELETED_AT_ONCE = 1000


class S3Store:
    """Keeps objects in one bucket, which must exist. Belongs to one event loop.

    ``encryption`` (none, ``AES256`` or ``aws:kms`` with ``kms_key_id``) is asked for with everything that is created.
    ``public_endpoint_url`` stands in the URLs for clients, where they reach the service by another name.
    """

    name = "s3"
    part_bytes = 8 * 2**20
    is_direct = True

    def __init__(
        self,
        *,
        bucket: str,
        region: str,
        endpoint_url: str | None = None,
        public_endpoint_url: str | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        path_style: bool = False,
        encryption: Literal["", "AES256", "aws:kms"] = "",
        kms_key_id: str | None = None,
        timeout_s: float = 10.0,
        attempts: int = 2,
        workers: int = 8,
        breaker: CircuitBreaker | None = None,
        budget: RetryBudget | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        def client(url: str | None) -> Boto:
            return connect(
                endpoint_url=url,
                region=region,
                access_key_id=access_key_id,
                secret_access_key=secret_access_key,
                path_style=path_style,
                timeout_s=timeout_s,
                connections=8 * workers,  # a body that is read keeps its own between two pieces
            )

        inside = client(endpoint_url)
        self._signer = client(public_endpoint_url) if public_endpoint_url else inside
        self._calls = S3Calls(
            inside,
            timeout_s=timeout_s,
            attempts=attempts,
            workers=workers,
            breaker=breaker,
            budget=budget,
            sleep=sleep,
        )
        self._bucket = S3Bucket(self._calls, bucket, encryption, kms_key_id)
        self._disk = DiskThreads(2, "spool")

    async def put(self, key: str, source: AsyncIterator[bytes]) -> int:
        checked(key)
        intake = Intake(source)
        with await self._spooled(intake, self.part_bytes) as first:
            if await intake.is_over():
                await self._put_whole(key, first)
                return first.size
            return await self._put_in_parts(key, first, intake)

    async def begin_parts(self, key: str) -> str:
        return await self._bucket.begin_parts(checked(key))

    async def put_part(self, key: str, upload: str, number: int, source: AsyncIterator[bytes], size: int) -> Part:
        checked(key)
        _check_number(number)
        with await self._spooled(Intake(source), size + 1) as spool:
            if spool.size != size:
                raise StoreUnavailable(STORE, "size")
            return await self._bucket.send_part(key, upload, number, spool)

    async def parts(self, key: str, upload: str) -> Sequence[Part]:
        """Where a service keeps what was stored under a number before, the newest; see ``join_parts``."""
        checked(key)
        newest = await self._bucket.ask(lambda s3: parts_of(s3, self._bucket.name, key, upload))
        return [candidates[-1] for candidates in newest]

    async def join_parts(self, key: str, upload: str, parts: Sequence[Part]) -> None:
        """Some services (SeaweedFS) keep also what was stored under a number before, and list both with a time in whole
        seconds. Of two that were stored in one second either may be joined; its tag decides which bytes these are.
        """
        checked(key)
        whole = sum(part.size for part in parts)
        try:
            newest = await self._bucket.ask(lambda s3: parts_of(s3, self._bucket.name, key, upload))
            if not {one for candidates in newest for one in candidates}.issuperset(parts):
                raise ObjectMissing
            await self._bucket.complete(key, upload, parts)
        except ObjectMissing:
            # The upload is gone once it was joined: a call whose answer was lost is repeated.
            if await self._bucket.is_open(key, upload) or await self._bucket.size(key) != whole:
                raise

    async def drop_parts(self, key: str, upload: str) -> None:
        await self._bucket.drop_parts(checked(key), upload)

    async def size(self, key: str) -> int:
        return await self._bucket.size(checked(key))

    async def read(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        checked(key)
        if start < 0 or (length is not None and length < 0):
            raise ValueError("a range begins at 0 or later and is not shorter than nothing")
        if length == 0:
            await self._bucket.size(key)
            return
        download = Download(self._bucket.name, key, start, length)
        try:
            try:
                await self._bucket.ask(download.open)
            except StoreUnavailable as refused:
                if refused.reason != "InvalidRange":
                    raise
                if length:
                    raise StoreUnavailable(STORE, "truncated") from None
                return
            while piece := await download.piece(self._calls):
                yield piece
        finally:
            download.close()

    def path(self, key: str) -> Path | None:
        checked(key)
        return None

    async def link(self, key: str, seconds: int, *, disposition: str, media_type: str) -> str:
        asked = {
            "Bucket": self._bucket.name,
            "Key": checked(key),
            "ResponseContentDisposition": disposition,
            "ResponseContentType": media_type,
        }
        return self._signer.generate_presigned_url("get_object", Params=asked, ExpiresIn=seconds)

    async def part_link(self, key: str, upload: str, number: int, size: int, seconds: int) -> str:
        """The size is signed as the header Content-Length: with another one the signature is wrong."""
        _check_number(number)
        asked = {
            "Bucket": self._bucket.name,
            "Key": checked(key),
            "UploadId": upload,
            "PartNumber": number,
            "ContentLength": size,
        }
        return self._signer.generate_presigned_url("upload_part", Params=asked, ExpiresIn=seconds)

    async def delete(self, keys: Sequence[str]) -> None:
        names = [checked(key) for key in keys]
        for first in range(0, len(names), _DELETED_AT_ONCE):
            await self._bucket.delete(names[first : first + _DELETED_AT_ONCE])

    async def listing(self) -> AsyncIterator[Stored]:
        async for page in pages_of_objects(self._bucket):
            for stored in page:
                yield stored

    async def unfinished(self) -> AsyncIterator[Unfinished]:
        """Also what is being put, where it is larger than a part."""
        async for page in pages_of_uploads(self._bucket):
            for upload in page:
                yield upload

    async def check(self) -> None:
        await self._bucket.check()

    async def close(self) -> None:
        await self._calls.close()
        await self._disk.close()

    async def _spooled(self, intake: Intake, most: int) -> Spool:
        """Up to ``most`` bytes in a temporary file, which the caller closes."""
        spool = Spool()
        try:
            async with aclosing(intake.take(most)) as batches:
                async for batch in batches:
                    await self._to_disk(spool, batch)
        except BaseException:
            spool.close()
            raise
        return spool

    async def _to_disk(self, spool: Spool, batch: Sequence[memoryview]) -> None:
        try:
            await self._disk.hop(spool.write, batch)
        except OSError as refused:  # the source's own errors are not met here
            raise StoreUnavailable(STORE, "spool") from refused

    async def _put_whole(self, key: str, spool: Spool) -> None:
        try:
            await self._bucket.put(key, spool)
        except asyncio.CancelledError:
            await self._withdrawn(key)
            raise

    async def _put_in_parts(self, key: str, first: Spool, intake: Intake) -> int:
        beginning = asyncio.ensure_future(self._bucket.begin_parts(key))
        try:
            upload = await asyncio.shield(beginning)
            sent = [await self._bucket.send_part(key, upload, 1, first)]
            while not await intake.is_over():
                _check_number(len(sent) + 1)
                with await self._spooled(intake, self.part_bytes) as spool:
                    sent.append(await self._bucket.send_part(key, upload, len(sent) + 1, spool))
            await self._bucket.complete(key, upload, sent)
        except BaseException as failure:
            await self._given_up(key, beginning, is_cancelled=not isinstance(failure, Exception))
            raise
        return sum(part.size for part in sent)

    async def _given_up(self, key: str, beginning: asyncio.Future[str], *, is_cancelled: bool) -> None:
        """Forget an upload of ``put``; where that cannot be done it stays among the unfinished."""
        try:
            upload = await beginning
            await self._calls.settled(key)
            await self._bucket.drop_parts(key, upload)
        except StoreUnavailable as failed:
            _log.warning("%s: an upload that was given up could not be dropped", failed)
        if is_cancelled:
            await self._withdrawn(key)

    async def _withdrawn(self, key: str) -> None:
        """Delete what a cancelled call may have stored, once no thread can store it any more."""
        try:
            await self._calls.settled(key)
            await self._bucket.delete([key])
        except StoreUnavailable as failed:
            _log.warning("%s: an object that was given up could not be deleted", failed)


def _check_number(number: int) -> None:
    if not 1 <= number <= MOST_PARTS:
        raise ValueError(f"parts are numbered from 1 to {MOST_PARTS}")
