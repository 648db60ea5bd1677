"""One bucket: what is asked of S3, with checked answers (https://docs.aws.amazon.com/AmazonS3/latest/API/)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from edurise.adapters.stores.s3_client import STORE, Refused, S3Calls
from edurise.adapters.stores.spool import Spool
from edurise.files.ports import ObjectMissing, Part, StoreUnavailable

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client as Boto

T = TypeVar("T")

MEDIA_TYPE = "application/octet-stream"
GARBLED = "garbled"
"""The reason where the answer is none of S3: a page of a proxy, for example."""
_MISSING = frozenset({"NoSuchKey", "NoSuchUpload", "InvalidPart", "InvalidPartOrder"})
_MD5 = re.compile(r"[0-9a-f]{32}")


class S3Bucket:
    """Its methods raise ObjectMissing and StoreUnavailable. ``encryption`` is asked for with everything created."""

    def __init__(self, calls: S3Calls, name: str, encryption: str, kms_key_id: str | None) -> None:
        self.calls = calls
        self.name = name
        self._creating: Mapping[str, Any] = _encryption(encryption, kms_key_id)

    async def ask(self, work: Callable[[Boto], T], *, about: str | None = None, carries: bool = False) -> T:
        """The answer; see ``S3Calls.ask``."""
        try:
            return await self.calls.ask(work, about=about, carries=carries)
        except Refused as refused:
            if refused.code in _MISSING:
                raise ObjectMissing from None
            raise StoreUnavailable(STORE, refused.code) from None

    async def put(self, key: str, spool: Spool) -> None:
        """Store an object of one request."""

        def send(s3: Boto) -> str:
            with spool.view() as body:
                answer = s3.put_object(
                    Bucket=self.name,
                    Key=key,
                    Body=body,
                    ContentLength=spool.size,
                    ContentMD5=spool.content_md5,
                    ContentType=MEDIA_TYPE,
                    **self._creating,
                )
            return _tag_of(answer, spool)

        await self.ask(send, about=key, carries=True)

    async def begin_parts(self, key: str) -> str:
        made = await self.ask(
            lambda s3: s3.create_multipart_upload(Bucket=self.name, Key=key, ContentType=MEDIA_TYPE, **self._creating)
        )
        return str(told(made, "UploadId"))

    async def send_part(self, key: str, upload: str, number: int, spool: Spool) -> Part:
        def send(s3: Boto) -> str:
            with spool.view() as body:
                answer = s3.upload_part(
                    Bucket=self.name,
                    Key=key,
                    UploadId=upload,
                    PartNumber=number,
                    Body=body,
                    ContentLength=spool.size,
                    ContentMD5=spool.content_md5,
                )
            return _tag_of(answer, spool)

        return Part(number, spool.size, await self.ask(send, about=key, carries=True))

    async def complete(self, key: str, upload: str, parts: Sequence[Part]) -> None:
        """Make the object of these parts, none of them also, and see that it has their size."""
        if not parts:
            with Spool() as nothing:
                await self.put(key, nothing)
            await self.drop_parts(key, upload)
            return

        def complete(s3: Boto) -> None:
            answer = s3.complete_multipart_upload(
                Bucket=self.name,
                Key=key,
                UploadId=upload,
                MultipartUpload={"Parts": [{"PartNumber": part.number, "ETag": f'"{part.tag}"'} for part in parts]},
            )
            told(answer, "ETag")

        await self.ask(complete, about=key, carries=True)  # it may take minutes to join many parts
        if await self.size(key) != sum(part.size for part in parts):
            raise StoreUnavailable(STORE, "size")

    async def is_open(self, key: str, upload: str) -> bool:
        """Whether an upload was neither joined nor dropped."""
        try:
            await self.ask(lambda s3: s3.list_parts(Bucket=self.name, Key=key, UploadId=upload, MaxParts=1))
        except ObjectMissing:
            return False
        return True

    async def drop_parts(self, key: str, upload: str) -> None:
        try:
            await self.ask(lambda s3: s3.abort_multipart_upload(Bucket=self.name, Key=key, UploadId=upload))
        except ObjectMissing:
            return

    async def size(self, key: str) -> int:
        try:
            head = await self.calls.ask(lambda s3: s3.head_object(Bucket=self.name, Key=key))
        except Refused as refused:
            if refused.status != 404:
                raise StoreUnavailable(STORE, refused.code) from None
            await self.check()  # an answer to HEAD has no body that says what was not found
            raise ObjectMissing from None
        told(head, "ETag")
        return head["ContentLength"]

    async def check(self) -> None:
        try:
            await self.calls.ask(lambda s3: s3.head_bucket(Bucket=self.name))
        except Refused as refused:
            raise StoreUnavailable(STORE, "NoSuchBucket" if refused.status == 404 else refused.code) from None

    async def delete(self, keys: Sequence[str]) -> None:
        answer = await self.ask(
            lambda s3: s3.delete_objects(Bucket=self.name, Delete={"Objects": [{"Key": key} for key in keys]})
        )
        if errors := answer.get("Errors"):
            raise StoreUnavailable(STORE, errors[0].get("Code", "failed"))
        if not {one.get("Key") for one in answer.get("Deleted", ())}.issuperset(keys):
            raise StoreUnavailable(STORE, GARBLED)


def told(answer: Mapping[str, Any], name: str) -> Any:
    """What S3 always says; raises StoreUnavailable where it does not, for then somebody else answered."""
    if (found := answer.get(name)) is None:
        raise StoreUnavailable(STORE, GARBLED)
    return found


def _encryption(encryption: str, kms_key_id: str | None) -> dict[str, str]:
    if not encryption:
        return {}
    return {"ServerSideEncryption": encryption} | ({"SSEKMSKeyId": kms_key_id} if kms_key_id else {})


def _tag_of(answer: Mapping[str, Any], spool: Spool) -> str:
    """The ETag; raises StoreUnavailable where it says that other bytes were stored.

    Under a key of KMS an ETag is no MD5: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html.
    """
    tag = str(told(answer, "ETag")).strip('"')
    is_md5 = _MD5.fullmatch(tag) and not str(answer.get("ServerSideEncryption", "")).startswith("aws:kms")
    if is_md5 and tag != spool.digest:
        raise StoreUnavailable(STORE, "checksum")
    return tag
