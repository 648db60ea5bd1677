"""The scanner against a real clamd with one signature, and against one that misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import io
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import uvloop

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
    scanner = ClamAvScanner(url, limit, timeout_s, verdict_s=timeout_s)
    return asyncio.run(scanner.scan(stream(*chunks), sum(len(one) for one in chunks)))


@contextlib.asynccontextmanager
async def posing(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[str]:
    """Something that listens where clamd should; its URL. All its connections have ended at the end of the block."""
    tasks: set[asyncio.Task[None]] = set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            with contextlib.suppress(ConnectionError):  # the scanner may leave in the middle
                await serve(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(take, "127.0.0.1", PORT + 1, limit=1024)
    async with server:
        yield f"tcp://127.0.0.1:{PORT + 1}"
        async with asyncio.timeout(5):
            await asyncio.gather(*tasks)


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


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_an_early_answer_is_never_lost(clamd: OwnClamd, loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """clamd closes while much is still to be sent to it: the write that fails must not cost the answer."""

    async def run() -> set[Verdict]:
        scanner = ClamAvScanner(clamd.url, LIMIT, 10.0)
        return {await scanner.scan(stream(*([b"x" * 2**20] * 20)), 20 * 2**20) for _ in range(60)}

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(run()) == {Verdict("not_scanned", "too_large")}


def test_a_socket_of_the_file_system_does_as_well(clamd: OwnClamd) -> None:
    assert scan(clamd.local_url, EICAR).outcome == "infected"
    assert scan(clamd.local_url, b"x" * 2**20) == Verdict("clean")
    assert scan(clamd.local_url, *([b"x" * 2**20] * 20)) == Verdict("not_scanned", "too_large")


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
        scanner = ClamAvScanner(clamd.url, LIMIT, 5.0, verdict_s=5.0)
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


@pytest.mark.parametrize("failure", [KeyError, OSError, TimeoutError, EOFError])
def test_a_source_that_fails_passes_its_error_on(clamd: OwnClamd, failure: type[Exception]) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise failure("of the source")

    with pytest.raises(failure, match="of the source"):
        asyncio.run(ClamAvScanner(clamd.url, LIMIT).scan(broken(), 10))


def test_a_scan_that_is_given_up_leaves_no_connection() -> None:
    async def run() -> None:
        begun, rest = asyncio.Event(), bytearray(b"?")

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(len(b"zINSTREAM\0") + 4 + 1000)
            begun.set()
            rest[:] = await reader.read(-1)

        async def endless() -> AsyncIterator[bytes]:
            yield b"x" * 1000
            await asyncio.Event().wait()

        async with posing(serve) as url:
            scanning = asyncio.ensure_future(ClamAvScanner(url, LIMIT).scan(endless(), 1000))
            await begun.wait()
            scanning.cancel()
            with pytest.raises(asyncio.CancelledError):
                await scanning
        assert rest == b""

    asyncio.run(run())


def test_a_daemon_that_takes_nothing_is_unavailable() -> None:
    async def run() -> None:
        done = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await done.wait()

        async with posing(serve) as url:
            scanner = ClamAvScanner(url, LIMIT, 0.3, verdict_s=60)
            with pytest.raises(ScannerUnavailable, match="sending took more than"):
                await scanner.scan(stream(*([b"x" * 2**20] * 40)), 40 * 2**20)
            done.set()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "closes"),
    [
        (b"stream: what?\0", True),
        (b"", True),
        (b"x" * 10_000, True),
        (b"x" * 10_000, False),
        (None, False),
        (b"stream: OK", True),
        (b"stream: OK\0stream: X FOUND\0", True),
        (b"COMMAND READ TIMED OUT\0", True),
    ],
    ids=["nonsense", "nothing", "long", "endless", "stalls", "cut off", "two", "error"],
)
def test_an_answer_that_is_none_is_unavailable(answer: bytes | None, closes: bool) -> None:
    async def run() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(len(b"zINSTREAM\0") + 4 + 1000 + 4)
            if answer:
                writer.write(answer)
                await writer.drain()
            if closes:
                writer.write_eof()
            await reader.read(-1)

        async with posing(serve) as url:
            with pytest.raises(ScannerUnavailable):
                await ClamAvScanner(url, LIMIT, 5.0, verdict_s=0.5).scan(stream(b"x" * 1000), 1000)

    asyncio.run(run())


def test_without_a_scanner_nothing_is_read() -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    assert asyncio.run(NoScanner().scan(never(), 10)) == Verdict("not_scanned", "no_scanner")
