"""The S3 store behind a network and a service that misbehave: bounded, nothing believed, nothing left over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from edurise.adapters.resilience import CircuitBreaker
from edurise.adapters.stores import s3_reading
from edurise.adapters.stores.s3_bucket import S3Bucket
from edurise.adapters.stores.s3_store import S3Store
from edurise.files.ports import ObjectMissing, Part, StoreUnavailable
from tests.harness.object_storage import REGION, OwnSeaweed
from tests.harness.shelf import MIB, Shelf, new_key, noise, stream
from tests.harness.waiting import eventually
from tests.simulators.hostile_proxy import Fault, HostileProxy

PROXY_PORT = 23020
SHORT_S = 0.4
"""The time-out of the store under test. Two attempts of two of them, and what the machine adds, are its bound."""
BOUND_S = 2 * 2 * SHORT_S + 2.0


@dataclass
class Bench:
    """A real S3, a proxy before it, and a patient store that does not go through the proxy."""

    storage: OwnSeaweed
    proxy: HostileProxy
    patient: Shelf

    def store(self, url: str | None = None, **more: Any) -> S3Store:
        options = {
            "bucket": self.storage.bucket,
            "region": REGION,
            "endpoint_url": url or self.proxy.url,
            "access_key_id": self.storage.access_key_id,
            "secret_access_key": self.storage.secret_access_key,
            "path_style": True,
            "timeout_s": SHORT_S,
            "breaker": CircuitBreaker("s3", failures=1000),
            "sleep": lambda _: asyncio.sleep(0),
        }
        return S3Store(**options | more)

    @asynccontextmanager
    async def shelf(self, **more: Any) -> AsyncIterator[Shelf]:
        """A store behind the proxy."""
        store = self.store(**more)
        try:
            yield Shelf(store, self.patient.run)
        finally:
            self.proxy.fault = Fault()
            await store.close()

    async def exists(self, key: str) -> bool:
        try:
            await self.patient.store.size(key)
        except ObjectMissing:
            return False
        return True


@pytest.fixture
def bench(object_storage: OwnSeaweed) -> Iterator[Bench]:
    proxy = HostileProxy(object_storage.port)
    proxy.start(PROXY_PORT)
    with asyncio.Runner() as runner:
        found = Bench(object_storage, proxy, None)  # type: ignore[arg-type]  # it needs the bench itself
        store = found.store(object_storage.url, timeout_s=20.0)
        found.patient = Shelf(store, runner.run)
        try:
            yield found
        finally:
            runner.run(store.close())
            proxy.stop()


@dataclass
class Scene:
    """An object and an upload, made without the proxy, for calls to be about."""

    key: str
    upload_key: str
    upload: str
    part: Part


async def scene(bench: Bench, size: int = 3 * MIB) -> Scene:
    key, upload_key = await bench.patient.put(noise(size)), new_key()
    upload = await bench.patient.store.begin_parts(upload_key)
    return Scene(key, upload_key, upload, await bench.patient.part(upload_key, upload, 1, b"part"))


async def listed(found: AsyncIterator[Any]) -> list[Any]:
    return [one async for one in found]


async def received_into(received: bytearray, pieces: AsyncIterator[bytes]) -> None:
    async for piece in pieces:
        received += piece


Call = Callable[[Shelf, Scene], Awaitable[Any]]
CALLS: dict[str, Call] = {
    "put": lambda shelf, _: shelf.put(noise(MIB)),
    "put in parts": lambda shelf, _: shelf.put(noise(9 * MIB)),
    "begin": lambda shelf, _: shelf.store.begin_parts(new_key()),
    "put part": lambda shelf, at: shelf.part(at.upload_key, at.upload, 2, noise(MIB)),
    "parts": lambda shelf, at: shelf.store.parts(at.upload_key, at.upload),
    "join": lambda shelf, at: shelf.store.join_parts(at.upload_key, at.upload, [at.part]),
    "drop": lambda shelf, at: shelf.store.drop_parts(at.upload_key, at.upload),
    "size": lambda shelf, at: shelf.store.size(at.key),
    "read": lambda shelf, at: shelf.read(at.key),
    "read range": lambda shelf, at: shelf.read(at.key, 5, 2 * MIB),
    "delete": lambda shelf, at: shelf.store.delete([at.key]),
    "listing": lambda shelf, _: listed(shelf.store.listing()),
    "unfinished": lambda shelf, _: listed(shelf.store.unfinished()),
    "check": lambda shelf, _: shelf.store.check(),
}
FAILING = [Fault("stall"), Fault("refuse"), Fault("error"), Fault("slow_down"), Fault("lose_answer")]


def in_words(fault: object) -> str | None:
    return fault.mode if isinstance(fault, Fault) else None


@pytest.mark.parametrize("fault", FAILING, ids=in_words)
@pytest.mark.parametrize("name", CALLS)
def test_every_call_ends_in_time(bench: Bench, name: str, fault: Fault) -> None:
    async def story() -> None:
        at = await scene(bench, MIB)
        async with bench.shelf() as shelf:
            bench.proxy.fault = fault
            started = asyncio.get_running_loop().time()
            with pytest.raises(StoreUnavailable) as refused:
                await CALLS[name](shelf, at)
            assert asyncio.get_running_loop().time() - started < BOUND_S
            if fault.mode == "slow_down" and name not in ("size", "check"):  # an answer to HEAD has no body
                assert refused.value.reason == "SlowDown"
            if fault.mode == "stall":
                assert refused.value.reason == "timeout"
            if fault.mode != "refuse":
                assert len(bench.proxy.seen) == 2, "each attempt is one request"

    bench.patient.run(story())


@pytest.mark.parametrize("mode", ["refuse", "error", "slow_down", "lose_answer", "stall"])
@pytest.mark.parametrize("name", CALLS)
def test_one_failure_is_repeated_and_not_noticed(bench: Bench, name: str, mode: Any) -> None:
    async def story() -> None:
        at = await scene(bench)
        async with bench.shelf(timeout_s=0.8 if mode == "stall" else 20.0) as shelf:
            bench.proxy.fault = Fault(mode, times=1)
            answer = await CALLS[name](shelf, at)
            if name.startswith("put") and isinstance(answer, str):
                assert await bench.patient.read(answer) == noise(await bench.patient.store.size(answer))
            if name == "read":
                assert answer == noise(3 * MIB)

    bench.patient.run(story())


@pytest.mark.parametrize("mode", ["truncate", "stall_body"])
def test_an_answer_that_breaks_off_is_not_believed(bench: Bench, mode: Any) -> None:
    async def story() -> None:
        at = await scene(bench, 6 * MIB)
        content = noise(6 * MIB)
        async with bench.shelf(timeout_s=SHORT_S if mode == "stall_body" else 20.0) as shelf:
            bench.proxy.fault = Fault(mode)
            for start, length, most in ((0, None, 3 * MIB), (7, 4 * MIB, 2 * MIB), (6 * MIB - 900, None, 450)):
                received = bytearray()
                started = asyncio.get_running_loop().time()
                with pytest.raises(StoreUnavailable) as refused:
                    await received_into(received, shelf.store.read(at.key, start, length))
                assert refused.value.reason == ("truncated" if mode == "truncate" else "timeout")
                assert asyncio.get_running_loop().time() - started < BOUND_S
                assert len(received) <= most
                assert content[start:].startswith(bytes(received))

    bench.patient.run(story())


@pytest.mark.parametrize("name", ["parts", "listing", "unfinished", "join", "begin"])
def test_a_list_that_breaks_off_is_not_believed(bench: Bench, name: str) -> None:
    async def story() -> None:
        at = await scene(bench, MIB)
        async with bench.shelf() as shelf:
            bench.proxy.fault = Fault("truncate")
            with pytest.raises(StoreUnavailable):
                await CALLS[name](shelf, at)

    bench.patient.run(story())


@pytest.mark.parametrize("name", [name for name in CALLS if name not in ("drop", "check")])
def test_an_answer_of_somebody_else_is_not_believed(bench: Bench, name: str) -> None:
    async def story() -> None:
        at = await scene(bench, MIB)
        async with bench.shelf() as shelf:
            bench.proxy.fault = Fault("page")
            with pytest.raises(StoreUnavailable):
                await CALLS[name](shelf, at)
        assert await bench.patient.read(at.key) == noise(MIB)

    bench.patient.run(story())


def test_a_join_that_somebody_else_answers_is_not_believed(bench: Bench) -> None:
    async def story() -> None:
        at = await scene(bench, MIB)
        async with bench.shelf(timeout_s=20.0) as shelf:
            bench.proxy.fault = Fault("page", where=lambda method, _: method == "POST")
            with pytest.raises(StoreUnavailable):
                await shelf.store.join_parts(at.upload_key, at.upload, [at.part])
        assert not await bench.exists(at.upload_key)

    bench.patient.run(story())


def test_a_joined_object_of_another_size_is_not_believed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def other(bucket: S3Bucket, key: str) -> int:
        return 3

    async def story() -> None:
        at = await scene(bench, MIB)
        monkeypatch.setattr(S3Bucket, "size", other)
        async with bench.shelf(timeout_s=20.0) as shelf:
            with pytest.raises(StoreUnavailable, match="size"):
                await shelf.store.join_parts(at.upload_key, at.upload, [at.part])

    bench.patient.run(story())


@pytest.mark.parametrize("size", [MIB, 9 * MIB])
def test_an_upload_that_breaks_off_leaves_no_object(bench: Bench, size: int) -> None:
    async def story() -> None:
        key = new_key()
        async with bench.shelf() as shelf:
            bench.proxy.fault = Fault("break_upload", where=lambda method, _: method == "PUT")
            with pytest.raises(StoreUnavailable):
                await shelf.store.put(key, stream(noise(size)))
            assert {seen.method for seen in bench.proxy.seen} >= {"PUT"}
        assert not await bench.exists(key)
        assert await bench.patient.unfinished(key) == []

    bench.patient.run(story())


def test_a_part_that_breaks_off_is_not_stored(bench: Bench) -> None:
    async def story() -> None:
        at = await scene(bench, MIB)
        async with bench.shelf() as shelf:
            bench.proxy.fault = Fault("break_upload")
            with pytest.raises(StoreUnavailable):
                await shelf.part(at.upload_key, at.upload, 1, noise(2 * MIB))
        assert list(await bench.patient.store.parts(at.upload_key, at.upload)) == [at.part]

    bench.patient.run(story())


def test_a_join_whose_answer_was_lost_can_be_repeated(bench: Bench) -> None:
    async def story() -> None:
        at = await scene(bench, MIB)
        async with bench.shelf(timeout_s=20.0) as shelf:
            bench.proxy.fault = Fault("lose_answer", where=lambda method, _: method == "POST")
            with pytest.raises(StoreUnavailable):
                await shelf.store.join_parts(at.upload_key, at.upload, [at.part])
            bench.proxy.fault = Fault()
            await shelf.store.join_parts(at.upload_key, at.upload, [at.part])
            assert await shelf.read(at.upload_key) == b"part"

    bench.patient.run(story())


def test_a_put_that_is_cancelled_after_the_store_has_it_is_taken_back(bench: Bench) -> None:
    async def story() -> None:
        key = new_key()
        async with bench.shelf(timeout_s=1.0) as shelf:
            bench.proxy.fault = Fault("hold_answer", where=lambda method, _: method == "PUT")
            putting = asyncio.ensure_future(shelf.store.put(key, stream(b"content")))
            await eventually(lambda: bench.exists(key), "the object is stored")
            putting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await putting
            assert not await bench.exists(key)

    bench.patient.run(story())


def test_a_put_that_is_cancelled_is_taken_back_only_when_no_thread_can_store_it_any_more(bench: Bench) -> None:
    async def story() -> None:
        key = new_key()
        async with bench.shelf(timeout_s=5.0) as shelf:
            bench.proxy.fault = Fault("delay", where=lambda method, _: method == "PUT")
            putting = asyncio.ensure_future(shelf.store.put(key, stream(b"content")))
            await eventually(lambda: bench.proxy.seen, "the request is on its way")
            putting.cancel()
            ended, _ = await asyncio.wait({putting}, timeout=0.3)
            assert not ended
            bench.proxy.fault = Fault()
            with pytest.raises(asyncio.CancelledError):
                await putting
        assert [seen.method for seen in bench.proxy.seen] == ["PUT", "POST"]
        assert not await bench.exists(key)

    bench.patient.run(story())


def test_a_put_that_is_cancelled_while_it_begins_leaves_no_upload(bench: Bench) -> None:
    async def story() -> None:
        key = new_key()
        async with bench.shelf(timeout_s=5.0) as shelf:
            bench.proxy.fault = Fault("hold_answer", where=lambda method, path: method == "POST" and "uploads" in path)
            putting = asyncio.ensure_future(shelf.store.put(key, stream(noise(9 * MIB))))
            await eventually(lambda: bench.patient.unfinished(key), "the upload is begun")
            putting.cancel()
            await asyncio.sleep(0)
            bench.proxy.fault = Fault()
            with pytest.raises(asyncio.CancelledError):
                await putting
        assert await bench.patient.unfinished(key) == []

    bench.patient.run(story())


def test_what_cannot_be_taken_back_is_among_the_unfinished(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        key = new_key()
        async with bench.shelf(timeout_s=20.0) as shelf:
            bench.proxy.fault = Fault("error", where=lambda method, path: method == "DELETE" or "partNumber=2" in path)
            with pytest.raises(StoreUnavailable) as refused:
                await shelf.store.put(key, stream(noise(9 * MIB)))
            assert refused.value.reason == "InternalError"
        uploads = await bench.patient.unfinished(key)
        assert len(uploads) == 1
        assert "could not be dropped" in caplog.text
        await bench.patient.store.drop_parts(key, uploads[0])

    bench.patient.run(story())


def test_a_store_that_keeps_failing_is_left_alone(bench: Bench) -> None:
    now = 0.0

    async def story() -> None:
        nonlocal now
        breaker = CircuitBreaker("s3", failures=4, open_s=20.0, now=lambda: now)
        async with bench.shelf(breaker=breaker, timeout_s=20.0) as shelf:
            bench.proxy.fault = Fault("error")
            for _ in range(2):
                with pytest.raises(StoreUnavailable, match="InternalError"):
                    await shelf.store.begin_parts(new_key())
            asked = len(bench.proxy.seen)
            for _ in range(5):
                with pytest.raises(StoreUnavailable, match="circuit_open"):
                    await shelf.read(new_key())
            assert len(bench.proxy.seen) == asked == 4
            bench.proxy.fault = Fault()
            now += 20.0
            await shelf.store.check()
            assert breaker.state == "closed"

    bench.patient.run(story())


class Counting(CircuitBreaker):
    """Counts failures."""

    failed_calls = 0

    def failed(self, permit: int) -> None:
        self.failed_calls += 1
        super().failed(permit)


def test_to_wait_for_a_thread_is_no_failure_of_the_store(bench: Bench) -> None:
    async def story() -> None:
        key, breaker = await bench.patient.put(b"content"), Counting("s3", failures=1000)
        async with bench.shelf(timeout_s=1.0, workers=1, attempts=3, breaker=breaker) as shelf:
            bench.proxy.fault = Fault("stall", where=lambda method, _: method == "PUT")
            putting = asyncio.ensure_future(shelf.put(b"x"))
            await eventually(lambda: bench.proxy.seen, "the only thread is taken, for longer than a question may last")
            assert await shelf.store.size(key) == 7
            with pytest.raises(StoreUnavailable):
                await putting
        assert breaker.failed_calls == 3

    bench.patient.run(story())


def test_encryption_is_asked_for_with_everything_that_is_created(bench: Bench) -> None:
    async def story() -> None:
        async with bench.shelf(encryption="AES256", timeout_s=20.0) as shelf:
            small, large = await shelf.put(b"small"), await shelf.put(noise(9 * MIB))
            await shelf.store.begin_parts(new_key())
        client = bench.storage.client()
        try:
            for key in (small, large):
                head = client.head_object(Bucket=bench.storage.bucket, Key=key)
                assert head["ServerSideEncryption"] == "AES256"
        finally:
            client.close()
        creating = [
            seen
            for seen in bench.proxy.seen
            if "uploads" in seen.path or (seen.method == "PUT" and "?" not in seen.path)
        ]
        assert len(creating) == 3
        assert {seen.headers.get("x-amz-server-side-encryption") for seen in creating} == {"AES256"}

    bench.patient.run(story())


def test_a_key_of_the_kms_is_named(bench: Bench) -> None:
    async def story() -> None:
        async with bench.shelf(encryption="aws:kms", kms_key_id="alias/edurise", timeout_s=20.0) as shelf:
            with pytest.raises(StoreUnavailable):  # SeaweedFS has no KMS here
                await shelf.put(b"small")
        headers = bench.proxy.seen[0].headers
        assert headers["x-amz-server-side-encryption"] == "aws:kms"
        assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "alias/edurise"

    bench.patient.run(story())


def test_bodies_travel_with_their_checksum(bench: Bench) -> None:
    async def story() -> None:
        async with bench.shelf(timeout_s=20.0) as shelf:
            await shelf.put(b"small")
            await shelf.put(noise(9 * MIB))
        puts = [seen for seen in bench.proxy.seen if seen.method == "PUT"]
        assert [seen.size for seen in puts] == [5, 8 * MIB, MIB]
        assert all(len(seen.headers["content-md5"]) == 24 for seen in puts)

    bench.patient.run(story())


def test_other_bytes_than_were_sent_are_not_believed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with bench.shelf(timeout_s=20.0) as shelf:
            monkeypatch.setattr("edurise.adapters.stores.spool.Spool.digest", "0" * 32)
            with pytest.raises(StoreUnavailable, match="checksum"):
                await shelf.put(b"small")

    bench.patient.run(story())


def test_who_may_not_is_told_so_and_nothing_is_repeated(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def story() -> None:
        key = await bench.patient.put(b"content")
        async with bench.shelf(secret_access_key="wrong-secret", timeout_s=20.0) as shelf:
            with pytest.raises(StoreUnavailable, match="SignatureDoesNotMatch"):
                await shelf.read(key)
            assert len(bench.proxy.seen) == 1
            for ask in (lambda: shelf.store.size(key), shelf.store.check):
                with pytest.raises(StoreUnavailable, match="403"):
                    await ask()

    bench.patient.run(story())
    for secret in (bench.storage.secret_access_key, "wrong-secret", "Signature="):
        assert secret not in caplog.text


def test_a_bucket_that_is_not_there_is_no_missing_object(bench: Bench) -> None:
    async def story() -> None:
        async with bench.shelf(bucket="nobodys-bucket", timeout_s=20.0) as shelf:
            for ask in (lambda: shelf.store.size(new_key()), lambda: shelf.read(new_key()), shelf.store.check):
                with pytest.raises(StoreUnavailable, match="NoSuchBucket"):
                    await ask()

    bench.patient.run(story())


def test_nobody_listens(bench: Bench) -> None:
    async def story() -> None:
        async with bench.shelf(endpoint_url=f"http://127.0.0.1:{PROXY_PORT + 1}") as shelf:
            with pytest.raises(StoreUnavailable, match="unreachable"):
                await shelf.put(b"content")

    bench.patient.run(story())


@pytest.mark.parametrize(
    ("told", "start", "size", "length", "expected"),
    [
        ("bytes 5-9/20", 5, 5, 5, True),
        ("bytes 5-9/10", 5, 5, None, True),
        ("bytes 5-9/20", 5, 5, None, False),
        ("bytes 4-9/20", 5, 5, 5, False),
        ("bytes 5-8/20", 5, 5, 5, False),
        ("lines 5-9/20", 5, 5, 5, False),
        ("bytes 5-9/*", 5, 5, None, False),
        ("", 5, 5, 5, False),
        ("bytes */20", 5, 5, 5, False),
    ],
)
def test_only_the_range_that_was_asked_for_is_believed(
    told: str, start: int, size: int, length: int | None, expected: bool
) -> None:
    assert s3_reading._is_range(told, start, size, length) is expected


class Versions:
    """Answers lists of parts as SeaweedFS does, which keeps what was stored before."""

    def __init__(self, *parts: tuple[int, str, int]) -> None:
        self._parts = parts

    def list_parts(self, **asked: Any) -> dict[str, Any]:
        noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
        return {
            "IsTruncated": False,
            "Parts": [
                {"PartNumber": number, "ETag": f'"{tag}"', "Size": 1, "LastModified": noon + timedelta(seconds=at)}
                for number, tag, at in self._parts
            ],
        }


def test_of_parts_with_one_number_the_newest_counts() -> None:
    def parts(*stored: tuple[int, str, int]) -> list[list[str]]:
        found = s3_reading.parts_of(Versions(*stored), "bucket", "key", "upload")
        return [[part.tag for part in candidates] for candidates in found]

    assert parts((2, "c", 0), (1, "a", 5), (1, "b", 7)) == [["b"], ["c"]]
    assert parts((1, "a", 7), (1, "b", 5)) == [["a"]]
    assert parts((1, "a", 5), (1, "b", 5)) == [["a", "b"]]
    assert parts((1, "a", 5), (1, "b", 5), (1, "c", 6)) == [["c"]]
    assert parts() == []
