"""An OpenAI-compatible endpoint as unkind as the real ones can be: streamed chat completions at a set rate.

In process: ``sim = OpenAISimulator()``, ``await sim.start()``, ``sim.url`` (the base URL, it ends in /v1), ``await
sim.stop()``. As a process: ``python -m tests.simulators.openai --port N --api-key K``. What it answers and what goes
wrong is a ``Plan``: ``sim.plan``, ``POST /control`` for all requests, or for one a marker in the last user message,
``[[sim {"tokens": 40, "rate": 15}]]``. ``GET /control/requests`` lists what was asked and how it ended, ``POST
/control/reset`` forgets it and takes the first plan again.

It is a load generator too: plain protocols on sockets, one timer for all answers, bytes that are built beforehand.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import re
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import uvloop

KEPT = 20_000
"""Requests that are remembered."""
SEGMENT_S = 0.002
"""Pause between two segments of an answer that is split."""
_MARKER = re.compile(r"\[\[sim (\{.*?\})\]\]", re.DOTALL)
_WORDS = re.compile(r"\S+\s*")
_MALFORMED = {
    "json": b'data: {"id": "chatcmpl-1", "choices": [{"delta"\n\n',
    "shape": b'data: {"choices": "none today"}\n\n',
    "list": b"data: [1, 2]\n\n",
    "no_choices": b'data: {"id": "chatcmpl-1", "object": "chat.completion.chunk"}\n\n',
    "utf8": b'data: {"choices": [{"index": 0, "delta": {"content": "\xff\xfe"}}]}\n\n',
    "error": b'data: {"error": {"message": "The server had an error.", "type": "server_error", "code": null}}\n\n',
    "endless": b"data: " + b"x" * 1_200_000 + b"\n\n",
}


@dataclass(frozen=True)
class Plan:
    """What the next requests are answered. Tokens are counted from 0; None is never."""

    tokens: int = 20
    """How many; with ``text``, as many as it has words."""
    text: str | None = None
    stamps: bool = False
    """Each token is ``t=<monotonic time at which it was sent, in ns> ``."""
    rate: float = 0.0
    """Tokens a second; 0 sends them all at once."""
    first_s: float = 0.0
    """Pause before the first token; the answer's head and role come before it."""
    hang: bool = False
    """No answer at all, not even a head."""
    fail: int = 0
    """So many calls fail first. With a marker: so many with this very message."""
    fail_status: int = 500
    retry_after: str | None = None
    stall_after: int | None = None
    break_after: int | None = None
    malformed_after: int | None = None
    malformed: str = "json"
    """json, shape, list, no_choices, utf8, error or endless."""
    usage: bool = True
    """Whether usage is told where it was asked for."""
    finish: bool = True
    """Whether the answer ends with a finish_reason and [DONE]; else it just ends, well-formed."""
    split: int = 0
    """Bytes in one TCP segment; 0 does not split."""
    comments: bool = False
    """Lines of comment between the events, as some proxies send them to keep the connection open."""


class OpenAISimulator:
    """The endpoint. ``requests`` says what was asked and how each answer ended."""

    def __init__(self, *, api_key: str = "sk-simulated", plan: Plan | None = None) -> None:
        self.api_key = api_key
        self._first_plan = self.plan = plan or Plan()
        self.requests: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.url = ""
        self._failed: Counter[str] = Counter()
        self._connections: set[_Connection] = set()
        self._due: list[tuple[float, int, Steps, _Connection]] = []
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1; port 0 takes a free one."""
        self._loop = asyncio.get_running_loop()
        self._server = await self._loop.create_server(lambda: _Connection(self), "127.0.0.1", port, backlog=1024)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def stop(self) -> None:
        """Stop listening and break off what is under way."""
        if self._timer is not None:
            self._timer.cancel()
        self._due.clear()
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.abort()
        await asyncio.sleep(0)
        if self._server is not None:
            await self._server.wait_closed()

    def open_answers(self) -> int:
        """How many answers are under way."""
        return sum(1 for one in self.requests if one["ended"] is None)

    def reset(self) -> None:
        """Forget the requests and go back to the first plan."""
        self.plan = self._first_plan
        self.requests.clear()
        self._failed.clear()

    def handle(self, connection: _Connection, asked: Asked) -> None:
        """Answer one request, or begin to."""
        if asked.path == "/v1/chat/completions" and asked.method == "POST":
            self._complete(connection, asked)
        elif asked.path == "/control/requests" and asked.method == "GET":
            connection.answer(200, {"requests": list(self.requests)})
        elif asked.path == "/control/reset" and asked.method == "POST":
            self.reset()
            connection.answer(200, asdict(self.plan))
        elif asked.path == "/control" and asked.method in ("GET", "POST"):
            try:
                self.plan = _changed(self.plan, json.loads(asked.body or b"{}"))
            except ValueError as wrong:
                connection.answer(400, {"wrong": str(wrong)})
            else:
                connection.answer(200, asdict(self.plan))
        else:
            connection.answer(404, _error("Unknown request URL", "unknown_url"))

    def follow(self, steps: Steps, connection: _Connection, at: float) -> None:
        """Go on with an answer until it pauses; ``at`` is when this step was due."""
        with suppress(StopIteration):
            pause = next(steps)
            while pause == 0:
                pause = next(steps)
            if pause is not None:
                self._count += 1
                heapq.heappush(self._due, (at + pause, self._count, steps, connection))
                self._wind()

    def joined(self, connection: _Connection) -> None:
        self._connections.add(connection)

    def left(self, connection: _Connection) -> None:
        self._connections.discard(connection)

    def _wind(self) -> None:
        """See that the one timer goes off when the first answer is due."""
        first = self._due[0][0]
        if self._timer is not None:
            if self._timer_at <= first:
                return
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(first, self._tick), first

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._due and self._due[0][0] <= now:
            at, _, steps, connection = heapq.heappop(self._due)
            if not connection.gone:
                self.follow(steps, connection, at)
        if self._due:
            self._wind()

    def _complete(self, connection: _Connection, asked: Asked) -> None:
        if asked.headers.get("authorization") != f"Bearer {self.api_key}":
            # As the real one does, it quotes from the key.
            message = f"Incorrect API key provided: {asked.headers.get('authorization', '')[7:]}."
            connection.answer(401, _error(message, "invalid_api_key"))
            return
        try:
            body = json.loads(asked.body)
            said = next(one["content"] for one in reversed(body["messages"]) if one["role"] == "user")
            marker = _MARKER.search(said)
            plan = _changed(self.plan, json.loads(marker[1])) if marker else self.plan
        except (ValueError, KeyError, TypeError, StopIteration) as wrong:
            connection.answer(400, _error(f"Invalid request: {wrong!r}", "invalid_request"))
            return
        key = said if marker else ""
        record = {
            "at_ns": time.monotonic_ns(),
            "model": body.get("model"),
            "messages": body["messages"],
            "options": {name: value for name, value in body.items() if name not in ("model", "messages")},
            "sent": 0,
            "ended": None,
        }
        self.requests.append(record)
        if plan.hang:
            record["ended"] = "hung"
        elif self._failed[key] < plan.fail:
            self._failed[key] += 1
            record["ended"] = f"refused {plan.fail_status}"
            headers = {} if plan.retry_after is None else {"Retry-After": plan.retry_after}
            # It quotes what was said, as an error about content does.
            connection.answer(plan.fail_status, _error(f"Simulated failure about: {said}", "simulated"), headers)
        elif body.get("stream") is not True:
            connection.answer(400, _error("This simulator only streams.", "invalid_request"))
        else:
            connection.record = record
            steps = _steps(connection, plan, body, record)
            self.follow(steps, connection, self._loop.time())


Steps = Generator[float | None, None, None]
"""An answer: writes, and says how many seconds to wait before its next step; None stalls for ever."""


def _steps(connection: _Connection, plan: Plan, body: Mapping[str, Any], record: dict[str, Any]) -> Steps:
    """Stream an answer by its plan."""
    frame = _Frame(str(body.get("model")), with_usage=bool((body.get("stream_options") or {}).get("include_usage")))
    pause = 1.0 / plan.rate if plan.rate else 0.0
    connection.begin()
    yield from _written(connection, plan, frame.chunk('{"role":"assistant","content":""}'))
    yield plan.first_s
    words = None if plan.text is None else [json.dumps(word, ensure_ascii=False) for word in _WORDS.findall(plan.text)]
    total = plan.tokens if words is None else len(words)
    before, after = frame.around
    for number in range(total + 1):
        if (yield from _went_wrong(connection, plan, number, record)):
            return
        if number == total:
            break
        if plan.stamps:
            content = b'"t=%d "' % time.monotonic_ns()
        else:
            content = b'"w%d "' % number if words is None else words[number].encode()
        event = b": keep-alive\n\n" * plan.comments + before + content + after
        if plan.split:
            yield from _written(connection, plan, event)
        else:
            connection.write(event)
        record["sent"] = number + 1
        if pause and number + 1 < total:
            yield pause
    if plan.finish:
        yield from _written(connection, plan, frame.chunk("{}", finish="stop"))
        if frame.with_usage and plan.usage:
            yield from _written(connection, plan, frame.usage(_words_of(body["messages"]), total))
        yield from _written(connection, plan, b"data: [DONE]\n\n")
    record["ended"] = "complete"
    connection.complete()


def _went_wrong(
    connection: _Connection, plan: Plan, number: int, record: dict[str, Any]
) -> Generator[float | None, None, bool]:
    """What goes wrong before this token; True if the answer is broken off."""
    if number == plan.malformed_after:
        yield from _written(connection, plan, _MALFORMED[plan.malformed])
    if number == plan.stall_after:
        record["ended"] = "stalled"
        yield None
    if number == plan.break_after:
        record["ended"] = "broken"
        connection.end()
    return number == plan.break_after


def _written(connection: _Connection, plan: Plan, event: bytes) -> Steps:
    """Write an event; where the plan splits, a segment at a time."""
    if not plan.split:
        connection.write(event)
        return
    for start in range(0, len(event), plan.split):
        connection.write(event[start : start + plan.split])
        yield SEGMENT_S


class _Frame:
    """The bytes around what changes from chunk to chunk."""

    def __init__(self, model: str, *, with_usage: bool) -> None:
        self.with_usage = with_usage
        self._head = (
            f'"id":"chatcmpl-{time.monotonic_ns()}","object":"chat.completion.chunk","created":{time.time():.0f},'
            f'"model":{json.dumps(model)},"system_fingerprint":"fp_sim"'
        )
        self._tail = ',"usage":null' if with_usage else ""
        before, after = self.chunk('{"content":\0}').split(b"\0")
        self.around = before, after

    def chunk(self, delta: str, finish: str | None = None) -> bytes:
        choice = f'{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{json.dumps(finish)}}}'
        return f'data: {{{self._head},"choices":[{choice}]{self._tail}}}\n\n'.encode()

    def usage(self, prompt: int, completion: int) -> bytes:
        numbers = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        return f'data: {{{self._head},"choices":[],"usage":{json.dumps(numbers)}}}\n\n'.encode()


@dataclass(frozen=True)
class Asked:
    """One HTTP request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class _Connection(asyncio.Protocol):
    """One connection of a client: requests in, one after the other, answers out."""

    def __init__(self, sim: OpenAISimulator) -> None:
        self._sim = sim
        self._received = bytearray()
        self._busy = False
        self.gone = False
        self.record: dict[str, Any] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # of TCP
        self._sim.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self._sim.left(self)
        if self.record is not None and self.record["ended"] in (None, "stalled"):
            self.record["ended"] = "left"

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._busy:
            self._take()

    def answer(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        """Answer at once and whole."""
        content = json.dumps(body).encode()
        named = {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        self._transport.write(f"HTTP/1.1 {status} Simulated\r\n{lines}x-request-id: req_sim\r\n\r\n".encode() + content)
        self._ready()

    def begin(self) -> None:
        """The head of a streamed answer."""
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n"
            b"x-request-id: req_sim\r\n\r\n"
        )

    def write(self, data: bytes) -> None:
        """One chunk of a streamed answer."""
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def complete(self) -> None:
        """The end of a streamed answer; the next request may come."""
        self._transport.write(b"0\r\n\r\n")
        self.record = None
        self._ready()

    def end(self) -> None:
        """Break off: what was written still goes out, the answer's end never comes."""
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def _ready(self) -> None:
        self._busy = False
        if self._received:
            self._take()

    def _take(self) -> None:
        head, found, rest = bytes(self._received).partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return
        self._received[:] = rest[length:]
        self._busy = True
        method, path, _ = first.split(" ")
        self._sim.handle(self, Asked(method, path, headers, rest[:length]))


def _changed(plan: Plan, asked: dict[str, Any]) -> Plan:
    """Raises ValueError for what no plan has."""
    unknown = dict(asked).keys() - {field.name for field in fields(Plan)}
    if unknown or asked.get("malformed", "json") not in _MALFORMED:
        raise ValueError(f"unknown: {sorted(unknown) or asked['malformed']}")
    return replace(plan, **asked)


def _words_of(messages: Iterable[Mapping[str, Any]]) -> int:
    """Prompt tokens, as this simulator counts them: words."""
    return sum(len(str(one.get("content", "")).split()) for one in messages)


def _error(message: str, code: str) -> dict[str, object]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}


async def serve(port: int, api_key: str) -> None:
    """Run until SIGTERM or SIGINT; one line on standard output says when it listens."""
    sim = OpenAISimulator(api_key=api_key)
    await sim.start(port)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    sys.stdout.write(f"openai simulator at {sim.url}\n")
    sys.stdout.flush()
    await stopped.wait()
    await sim.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A hostile OpenAI-compatible endpoint for tests.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--api-key", default="sk-simulated")
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(given.port, given.api_key))
