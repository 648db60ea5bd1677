"""Any OpenAI-compatible endpoint behind the port ``Tutor``: streamed chat completions through the official library
(https://platform.openai.com/docs/api-reference/chat-streaming).

Prompts hold lessons and what people ask, and errors of the endpoint may quote them, or the key. None of that is
logged: what leaves is a DomainError without a cause, what is logged are the error's type, status, code and request id.

The library's own stream makes a model of every chunk; 200 answers of 15 tokens a second would take three quarters of a
core. So the answer's bytes are taken from the library and read here, which takes a third.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

import httpx2
import openai
import orjson

from edurise.adapters.resilience import CircuitBreaker, CircuitOpenError, RetryBudget, call
from edurise.adapters.server_sent import EventReader, Oversize
from edurise.ai.ports import Brief, Broken, Piece, Text, Usage
from edurise.errors import Upstream

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam

_log = logging.getLogger(__name__)
# At DEBUG these log bodies and headers, whatever the level of the root logger would be, at INFO each request.
for _name in ("openai", "httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)

CONNECT_S = 5.0
LONGEST_PAUSE_S = 5.0
"""A server that asks to wait longer is not asked again: the learner is told, and asks later."""
LONGEST_BYTES = 8 * 2**20
"""An answer that goes on beyond this is broken off, whatever it consists of."""
GOODBYE_S = 1.0
"""How long the end of a response may take after its last event, so that the connection can be used again."""
_AGAIN = frozenset({408, 409, 429})
_OURS = frozenset({401, 403})
"""The operator's to mend: the key is wrong, or may not use the model."""


class Nonsense(Exception):
    """The endpoint sent what is no answer; ``reason`` is a word, never what was sent."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class OpenAITutor:
    """A tutor for any number of event loops; each gets its own client, for connections belong to one loop.

    ``first_s`` bounds each attempt up to the first token, ``stall_s`` the wait for each one after it. Only attempts
    that brought no token are repeated.
    """

    name = "openai"

    def __init__(
        self,
        *,
        api_key: str,
        model: str,
        base_url: str = "https://api.openai.com/v1",
        first_s: float = 20.0,
        stall_s: float = 20.0,
        attempts: int = 3,
        breaker: CircuitBreaker | None = None,
        budget: RetryBudget | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.model = model
        self._api_key = api_key
        self._base_url = base_url
        self._first_s = first_s
        self._stall_s = stall_s
        self._attempts = attempts
        self._breaker = breaker or CircuitBreaker("openai")
        self._budget = budget or RetryBudget()
        self._sleep = sleep
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, openai.AsyncOpenAI] = WeakKeyDictionary()

    async def answer(self, brief: Brief) -> AsyncGenerator[Piece]:
        """Yield the answer as it comes, then what it used, if the endpoint says so.

        Raises Upstream before the first token, AI_SERVICE_UNAVAILABLE or AI_EMPTY_ANSWER; Broken after it.
        """
        reply, text = await self._opened(brief)
        try:
            while text:
                yield Text(text)
                text = await reply.text(self._stall_s)
        except (Nonsense, TimeoutError, httpx2.HTTPError) as failed:
            reason = failed.reason if isinstance(failed, Nonsense) else type(failed).__name__
            _log.warning("openai: an answer broke off: %s, request %s", reason, reply.request_id)
            raise Broken(reason) from None
        finally:
            await reply.close()
        if reply.usage is not None:
            yield reply.usage

    async def close(self) -> None:
        """Close the connections of the running loop."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()

    async def _opened(self, brief: Brief) -> tuple[_Reply, str]:
        """An answer and its first text. Raises Upstream."""
        client = self._client()
        try:
            return await call(
                lambda: self._attempt(client, brief),
                timeout_s=self._first_s,
                attempts=self._attempts,
                breaker=self._breaker,
                budget=self._budget,
                retry_on=_is_failure,
                asked_pause_s=_asked_pause_s,
                sleep=self._sleep,
            )
        except CircuitOpenError as refused:
            raise _unavailable(refused.retry_after_s) from None
        except TimeoutError:
            _log.warning("openai: no token within %.1f s", self._first_s)
            raise _unavailable() from None
        except Nonsense as failed:
            _log.warning("openai: no answer: %s", failed.reason)
            raise _unavailable() from None
        except (openai.APIError, httpx2.HTTPError) as refused:
            _log_refusal(refused)
            raise _unavailable(_asked_pause_s(refused)) from None

    async def _attempt(self, client: openai.AsyncOpenAI, brief: Brief) -> tuple[_Reply, str]:
        """Ask once and wait for the first text. Raises Upstream("AI_EMPTY_ANSWER") for an answer without any."""
        opening = client.chat.completions.with_streaming_response.create(
            model=self.model,
            messages=_prompt(brief),
            stream=True,
            stream_options={"include_usage": True},
        )
        response = await opening.__aenter__()
        reply = _Reply(response.http_response)
        try:
            text = await reply.text(None)
        except BaseException:
            await reply.close()
            raise
        if not text:
            await reply.close()
            _log.warning("openai: an empty answer, request %s", reply.request_id)
            raise Upstream("AI_EMPTY_ANSWER")
        return reply, text

    def _client(self) -> openai.AsyncOpenAI:
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            client = self._clients[loop] = openai.AsyncOpenAI(
                api_key=self._api_key,
                base_url=self._base_url,
                max_retries=0,  # the budget and the breaker must see each attempt
                timeout=openai.Timeout(None, connect=CONNECT_S),  # the other times are taken here
            )
            # The library takes these from the environment, which is read in one place only.
            client.organization = client.project = None
        return client


class _Reply:
    """One streamed answer: its texts, then what it used."""

    def __init__(self, response: httpx2.Response) -> None:
        self.usage: Usage | None = None
        self.request_id = response.headers.get("x-request-id")
        self._response = response
        self._chunks: AsyncIterator[bytes] = response.aiter_bytes()
        self._events = EventReader()
        self._received = 0
        self._finished = False
        """The endpoint said why it ends: what follows is no part of the answer."""
        self._done = False
        self._wrong: str | None = None

    async def text(self, within_s: float | None) -> str:
        """The next text, as much as arrived together; empty once the answer has ended.

        Raises TimeoutError after ``within_s`` seconds without one, Nonsense, and what the transport raises.
        """
        until = None if within_s is None else asyncio.get_running_loop().time() + within_s
        while self._wrong is None and not self._done:
            async with asyncio.timeout_at(until):
                data = await anext(self._chunks, None)
            if data is None:
                if not self._finished:
                    raise Nonsense("it ended without an end")
                return ""
            text = self._take(data)
            if text:
                return text
        if self._wrong is not None:
            raise Nonsense(self._wrong)
        # The connection is of use to the next question only if this response is read to its end.
        with suppress(TimeoutError, httpx2.HTTPError):
            async with asyncio.timeout(GOODBYE_S):
                await anext(self._chunks, None)
        return ""

    async def close(self) -> None:
        """Give the connection back, or close it where the answer has not ended."""
        await self._response.aclose()

    def _take(self, data: bytes) -> str:
        """The text in these bytes. What is wrong after it is raised when the next one is asked for."""
        self._received += len(data)
        texts: list[str] = []
        try:
            if self._received > LONGEST_BYTES:
                raise Nonsense("it is too long")
            for event in self._events.feed(data):
                if event.startswith(b"[DONE]"):
                    self._done = True
                    break
                texts.append(self._read(orjson.loads(event)))
        except orjson.JSONDecodeError:
            self._wrong = "an event is no JSON"
        except Oversize:
            self._wrong = "an event is too long"
        except Nonsense as found:
            self._wrong = found.reason
        return "".join(texts)

    def _read(self, event: Any) -> str:  # Any: whatever JSON holds
        """The text of one event. Raises Nonsense."""
        if not isinstance(event, dict):
            raise Nonsense("an event is no object")
        if event.get("error"):
            raise Nonsense("the endpoint failed")
        used, choices = event.get("usage"), event.get("choices")
        if isinstance(used, dict):
            self.usage = Usage(_count(used, "prompt_tokens"), _count(used, "completion_tokens"))
        elif not isinstance(choices, list):
            raise Nonsense("an event has no choices")
        if not choices:
            return ""
        try:
            choice = choices[0]
            self._finished = self._finished or choice.get("finish_reason") is not None
            delta = choice.get("delta") or {}
            # A model that declines says so in another field.
            text = delta.get("content") or delta.get("refusal") or ""
            # PostgreSQL stores no NUL.
            return str.replace(text, "\0", "")
        except (AttributeError, TypeError, KeyError):
            raise Nonsense("an event has another shape") from None


def _prompt(brief: Brief) -> list[ChatCompletionMessageParam]:
    return cast(
        "list[ChatCompletionMessageParam]", [{"role": one.role, "content": one.content} for one in brief.messages]
    )


def _count(used: Mapping[str, object], name: str) -> int | None:
    number = used.get(name)
    return number if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 2**31 else None


def _is_failure(refused: Exception) -> bool:
    """True if the endpoint failed or had no time for us, so that the same request may soon succeed."""
    if isinstance(refused, openai.APIStatusError):
        asked = _asked_pause_s(refused)
        may_repeat = refused.status_code in _AGAIN or refused.status_code >= 500
        return may_repeat and (asked is None or asked <= LONGEST_PAUSE_S)
    return isinstance(refused, openai.APIError | httpx2.HTTPError | Nonsense)


def _asked_pause_s(refused: Exception) -> float | None:
    """The seconds of ``Retry-After``; None without one, or where it is a date or no number."""
    if not isinstance(refused, openai.APIStatusError):
        return None
    try:
        seconds = float(refused.response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _log_refusal(refused: Exception) -> None:
    status = getattr(refused, "status_code", None)
    _log.log(
        logging.ERROR if status in _OURS else logging.WARNING,
        "openai: %s, status %s, code %s, request %s",
        type(refused).__name__,
        status,
        getattr(refused, "code", None),
        getattr(refused, "request_id", None),
    )


def _unavailable(retry_after_s: float | None = None) -> Upstream:
    return Upstream("AI_SERVICE_UNAVAILABLE", retry_after_s=retry_after_s)
