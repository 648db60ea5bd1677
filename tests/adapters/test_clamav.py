"""The scanner against a real clamd with one signature, and against one that misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import io
import zipfile
from collections.abc import AsyncIterator, Iterator

import pytest

from edurise.adapters.clamav_scanner import ClamAvScanner
from edurise.adapters.no_scanner import NoScanner
from edurise.files.ports import ScannerUnavailable, Verdict
from tests.harness.antivirus import EICAR, SIGNATURE, STREAM_MAX_BYTES, OwnClamd
from tests.harness.machine import require
from tests.harness.services import scratch

PORT = 23200
LIMIT = 50 * 1024 * 1024


@pytest.fixture(scope="module")
def clamd() -> Iterator[OwnClamd]:
    require("clamd")
    with scratch() as directory, OwnClamd(directory / "clamd", PORT) as running:
        yield running


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def scan(url: str, *chunks: bytes, timeout_s: float = 10.0, limit: int = LIMIT) -> Verdict:
    scanner = ClamAvScanner(url, limit, timeout_s)
    return asyncio.run(scanner.scan(stream(*chunks), sum(len(one) for one in chunks)))


def zipped(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", content)
    return out.getvalue()


def test_what_is_clean_and_what_is_not(clamd: OwnClamd) -> None:
    assert scan(clamd.url, b"nothing ", b"to see") == Verdict("clean")
    assert scan(clamd.url) == Verdict("clean")
    found = scan(clamd.url, EICAR)
    assert (found.outcome, found.signature.startswith(SIGNATURE)) == ("infected", True)
    assert scan(clamd.url, EICAR[:20], EICAR[20:]).outcome == "infected"
    assert scan(clamd.url, zipped(EICAR)).outcome == "infected"
    assert scan(clamd.url, b"x" * (STREAM_MAX_BYTES - 100)).outcome == "clean"


def test_what_is_too_large_says_so(clamd: OwnClamd) -> None:
    assert scan(clamd.url, *([b"x" * 2**20] * 20)) == Verdict("not_scanned", "too_large")
    assert scan("tcp://127.0.0.1:1", b"x" * 11, limit=10) == Verdict("not_scanned", "too_large")


def test_many_at_once(clamd: OwnClamd) -> None:
    async def run() -> list[Verdict]:
        scanner = ClamAvScanner(clamd.url, LIMIT)
        return await asyncio.gather(
            *(scanner.scan(stream(EICAR if number % 2 else b"clean"), 100) for number in range(12))
        )

    assert [one.outcome for one in asyncio.run(run())] == ["clean", "infected"] * 6


def test_nobody_there_is_unavailable() -> None:
    for url in ("tcp://127.0.0.1:1", "unix:///nowhere/clamd.sock"):
        with pytest.raises(ScannerUnavailable):
            scan(url, b"x")


def test_a_killed_daemon_is_unavailable_and_a_restarted_one_is_not(clamd: OwnClamd) -> None:
    async def run() -> None:
        scanner = ClamAvScanner(clamd.url, LIMIT, 5.0)
        sent = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"x" * 1000
            sent.set()
            await asyncio.to_thread(clamd.kill)
            for _ in range(50):
                yield b"x" * 100_000

        with pytest.raises(ScannerUnavailable):
            await scanner.scan(slow(), 5_001_000)
        assert sent.is_set()

    asyncio.run(run())
    clamd.start()
    assert scan(clamd.url, b"x").outcome == "clean"


def test_a_source_that_fails_passes_its_error_on(clamd: OwnClamd) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise KeyError("of the source")

    with pytest.raises(KeyError):
        asyncio.run(ClamAvScanner(clamd.url, LIMIT).scan(broken(), 10))


@pytest.mark.parametrize(
    ("answer", "closes"),
    [(b"stream: what?\0", True), (b"", True), (b"x" * 10_000, True), (None, False), (b"stream: OK", True)],
    ids=["nonsense", "nothing", "endless", "stalls", "cut off"],
)
def test_an_answer_that_is_none_is_unavailable(answer: bytes | None, closes: bool) -> None:
    async def run() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            if answer:
                writer.write(answer)
            if not closes:
                await reader.read(-1)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", PORT + 1)
        async with server:
            scanner = ClamAvScanner(f"tcp://127.0.0.1:{PORT + 1}", LIMIT, 0.5)
            with pytest.raises(ScannerUnavailable):
                await scanner.scan(stream(b"x" * 1000), 1000)

    asyncio.run(run())


def test_without_a_scanner_nothing_is_read() -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    assert asyncio.run(NoScanner().scan(never(), 10)) == Verdict("not_scanned", "no_scanner")
