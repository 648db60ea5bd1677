"""How S3 is asked: by botocore, which blocks, in threads of its own, through time-outs, a budget and a breaker.

The library's own retries are off: the budget and the breaker must see each attempt. A thread that hangs cannot be
ended; its socket's time-outs end it, and nobody waits for it longer than for an attempt.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
import urllib3.exceptions
from botocore import exceptions as boto
from botocore.config import Config
from botocore.parsers import ResponseParserError

from edurise.adapters.affinity import AFFINITY
from edurise.adapters.resilience import CircuitBreaker, CircuitOpenError, RetryBudget, call
from edurise.files.ports import StoreUnavailable

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client as Boto

T = TypeVar("T")
_log = logging.getLogger(__name__)
# At DEBUG these log requests with their signatures, whatever the level of the root logger would be.
for _name in ("boto3", "botocore", "urllib3"):
    logging.getLogger(_name).setLevel(logging.WARNING)

STORE = "s3"
CONNECT_S = 5.0
TRANSFER_TIMES = 12
"""How many time-outs an attempt may last that carries a body; silence for one time-out ends it anyway."""
_AGAIN = frozenset({"BadDigest", "RequestTimeout", "RequestTimeoutException", "SlowDown", "Throttling"})
NETWORK = (
    boto.ConnectionError,
    boto.HTTPClientError,
    boto.IncompleteReadError,
    urllib3.exceptions.HTTPError,
    OSError,
)
"""What is raised where the connection, not the store, says no."""


class Refused(Exception):
    """S3 answered, and it is a no to this request: ``code`` is S3's own word, or the status where it had none."""

    def __init__(self, code: str, status: int) -> None:
        self.code = code
        self.status = status
        super().__init__(f"{code} ({status})")


def connect(
    *,
    endpoint_url: str | None,
    region: str,
    access_key_id: str | None,
    secret_access_key: str | None,
    path_style: bool,
    timeout_s: float,
    connections: int,
) -> Boto:
    """A client of the library; it talks to nobody yet. Without a key the library looks for the machine's role."""
    session = boto3.session.Session(
        aws_access_key_id=access_key_id, aws_secret_access_key=secret_access_key, region_name=region
    )
    config = Config(
        signature_version="s3v4",
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=min(CONNECT_S, timeout_s),
        read_timeout=timeout_s,
        max_pool_connections=connections,
        s3={"addressing_style": "path" if path_style else "virtual"},
        # Checksums are ours, Content-MD5: the library's newer ones are unknown to many that speak S3.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        # The library takes a proxy from the environment, which is read in one place only.
        proxies={},
    )
    return session.client("s3", endpoint_url=endpoint_url, config=config)


class S3Calls:
    """Calls to one S3. Belongs to one event loop.

    ``attempts`` of up to two ``timeout_s`` for a question, of ``TRANSFER_TIMES`` for what carries a body; a connection
    that is silent for ``timeout_s`` ends its attempt.
    """

    def __init__(
        self,
        client: Boto,
        *,
        timeout_s: float,
        attempts: int,
        workers: int,
        breaker: CircuitBreaker | None,
        budget: RetryBudget | None,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.timeout_s = timeout_s
        self._client = client
        self._attempts = attempts
        self._breaker = breaker or CircuitBreaker(STORE)
        self._budget = budget or RetryBudget()
        self._sleep = sleep
        self._threads = ThreadPoolExecutor(workers, "s3", initializer=AFFINITY.release)
        # Who waits for a thread waits here, where no time-out runs: load is not to be taken for a store that is silent.
        self._slots = asyncio.Semaphore(workers)
        self._writing: dict[Future[Any], str] = {}

    async def ask(self, work: Callable[[Boto], T], *, about: str | None = None, carries: bool = False) -> T:
        """The answer to ``work``, which must be repeatable, also while another attempt still runs.

        ``about`` is the key of what it writes, for ``settled``; ``carries`` that it sends a body. Raises Refused and
        StoreUnavailable.
        """
        try:
            async with self._slots:
                return await call(
                    lambda: self._hop(lambda: work(self._client), about=about),
                    timeout_s=self.timeout_s * (TRANSFER_TIMES if carries else 2),
                    attempts=self._attempts,
                    breaker=self._breaker,
                    budget=self._budget,
                    retry_on=_is_failure,
                    sleep=self._sleep,
                )
        except CircuitOpenError:
            raise StoreUnavailable(STORE, "circuit_open") from None
        except boto.ClientError as refused:
            raise _translated(refused) from None
        except (boto.NoCredentialsError, ResponseParserError, *NETWORK) as failed:
            raise unavailable(failed) from None

    async def receive(self, work: Callable[[], bytes]) -> bytes:
        """Bytes of an answer that was begun. Raises what the connection raises, and TimeoutError."""
        async with self._slots, asyncio.timeout(self.timeout_s * TRANSFER_TIMES):
            return await self._hop(work)

    async def settled(self, about: str) -> None:
        """Wait until no thread writes ``about`` any more, for as long as an attempt may last."""
        running = [asyncio.wrap_future(one) for one, key in list(self._writing.items()) if key == about]
        for one in running:
            one.add_done_callback(_look_at)
        if running:
            await asyncio.wait(running, timeout=self.timeout_s * TRANSFER_TIMES)

    async def close(self) -> None:
        """Close the connections; threads that hang are left to their time-outs."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._client.close)

    async def _hop(self, work: Callable[[], T], *, about: str | None = None) -> T:
        """One attempt in a thread, without translation."""
        running = self._threads.submit(work)
        if about is not None:
            self._writing[running] = about
            running.add_done_callback(self._writing.pop)
        return await asyncio.wrap_future(running)


def unavailable(failed: Exception) -> StoreUnavailable:
    """What the port says of an error of the network or the library."""
    if isinstance(failed, boto.ConnectTimeoutError | boto.ReadTimeoutError | TimeoutError):
        reason = "timeout"
    elif isinstance(failed, boto.EndpointConnectionError):
        reason = "unreachable"
    elif isinstance(failed, boto.IncompleteReadError | boto.ResponseStreamingError | urllib3.exceptions.ProtocolError):
        reason = "truncated"
    else:
        reason = type(failed).__name__
    return StoreUnavailable(STORE, reason)


def _look_at(ended: asyncio.Future[object]) -> None:
    """So that asyncio does not report its error as never retrieved."""
    if not ended.cancelled():
        ended.exception()


def _answer(refused: boto.ClientError) -> tuple[str, int]:
    response: Mapping[str, object] = refused.response
    error, meta = response.get("Error"), response.get("ResponseMetadata")
    status = meta.get("HTTPStatusCode", 0) if isinstance(meta, Mapping) else 0
    code = error.get("Code", "") if isinstance(error, Mapping) else ""
    return str(code or status), int(status)


def _is_failure(failed: Exception) -> bool:
    """True where the same request may succeed later."""
    if isinstance(failed, boto.ClientError):
        code, status = _answer(failed)
        return status >= 500 or status == 429 or code in _AGAIN
    return isinstance(failed, (ResponseParserError, *NETWORK))


def _translated(refused: boto.ClientError) -> Refused | StoreUnavailable:
    code, status = _answer(refused)
    if _is_failure(refused):
        _log.warning("s3: %s, status %s", code, status)
        return StoreUnavailable(STORE, code)
    return Refused(code, status)
