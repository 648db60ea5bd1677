"""Answers of the tutor: how much later a token arrives through worker, Redis and socket than from the provider."""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from uuid import UUID

import orjson

from benchmarks import flame
from benchmarks.frames import upgrade
from benchmarks.processes import ROOT, Child
from benchmarks.registry import Measured, figure
from benchmarks.stage import Person, Stage
from benchmarks.stream_load import Plan, Seen
from edurise.adapters.clock import SystemClock
from edurise.ai import service
from edurise.ai.permissions import Ai
from edurise.authz import Principal
from edurise.db import Database, Urls

_STREAMS, _RATE = 200, 15
_COMING_S, _SECONDS = 10.0, 30.0
"""Twenty questions a second come, and when the last one is there all answers go on for half a minute."""
_ALONE_S = 10.0
_PATIENCE_S = 30.0
_KEY = "sk-benchmarks"
_LIMIT_MS = 50.0
_QUESTION = "What does the lesson say?"


@figure("ai-streams")
def ai_streams(stage: Stage) -> Measured:
    """Two hundred answers of fifteen tokens a second for thirty seconds, read from the provider itself and then through
    the product, whose worker reads the same provider. Counted are the tokens of the time in which all answers run."""
    provider = _provider(stage)
    settings = {
        "EDU_OPENAI_API_KEY": _KEY,
        "EDU_OPENAI_BASE_URL": f"http://127.0.0.1:{provider.port}/v1",
        "EDU_AI_STREAMS": "256",
    }
    web = stage.web(**settings)
    worker = stage.part("worker", **settings)
    people = stage.log_in(_STREAMS)
    rooms = _conversations(stage, people)
    _plan(provider, _ALONE_S + 1)
    alone = _read(provider, [_completion(provider.port)] * _STREAMS, "", 1)
    tokens = _plan(provider, _COMING_S + _SECONDS)
    cpu = {child.name: child.cpu_s() for child in (web, worker, provider)}
    ask = orjson.dumps({"type": "ask", "id": 1, "message": _QUESTION}).decode()
    paths = [f"/ws/ai/{room}/?token={one.token}" for room, one in zip(rooms, people, strict=True)]
    ours = _read(web, [upgrade(web.port, path) for path in paths], ask, _COMING_S)
    spent = {child: child.cpu_s() - cpu[child.name] for child in (web, worker, provider)}
    if stage.profile_to is not None:
        _profile(stage, stage.profile_to, web, worker, ask, people)
    for child in (worker, web, provider):
        child.check()
        child.stop()
    added = ours.p99_ms - alone.p50_ms
    whole, each = ours.whole_p99_ms, 1e6 / max(1, ours.tokens)
    return Measured(
        name="ai-streams",
        value=added,
        unit="ms added (p99)",
        ratio=ours.p99_ms / alone.p99_ms,
        of="p99 of the provider alone",
        target=f"p99 ≤ {_LIMIT_MS:.0f} ms",
        holds=added <= _LIMIT_MS and ours.ended == _STREAMS and ours.tokens == _STREAMS * tokens,
        details=(
            f"product: p50 {ours.p50_ms:.1f} ms, p99 {ours.p99_ms:.1f} ms, worst {ours.worst_ms:.0f} ms a token",
            f"provider alone: p50 {alone.p50_ms:.1f} ms, p99 {alone.p99_ms:.1f} ms",
            f"{ours.window_s:.0f} s in which all {_STREAMS} ran; of all {ours.tokens:,} tokens p99 {whole:.1f} ms",
            f"{ours.ended} of {_STREAMS} answers ended well, {ours.renewed} were told anew",
            "processor time a token: "
            + ", ".join(f"{name} {used * each:.0f} µs" for name, used in zip(_NAMES, spent.values(), strict=True)),
        ),
    )


_NAMES = ("web", "worker", "provider")


def _provider(stage: Stage) -> Child:
    """The simulator of an OpenAI-compatible endpoint."""
    port = str(stage.port())
    return stage.spawn(
        "provider",
        ["-m", "tests.simulators.openai", "--port", port, "--api-key", _KEY],
        {"PORT": port},
        ready="openai simulator",
    )


def _plan(provider: Child, seconds: float) -> int:
    """Let answers last so long; returns their number of tokens."""
    plan = {"tokens": int(_RATE * seconds), "rate": _RATE, "stamps": True}
    connection = http.client.HTTPConnection("127.0.0.1", provider.port, timeout=10)
    connection.request("POST", "/control", orjson.dumps(plan), {"Content-Type": "application/json"})
    if connection.getresponse().status != 200:
        raise RuntimeError("the simulator does not take the plan")
    connection.close()
    return int(_RATE * seconds)


def _completion(port: int) -> str:
    """What a client of the provider sends."""
    body = orjson.dumps(
        {"model": "benchmark", "stream": True, "messages": [{"role": "user", "content": _QUESTION}]}
    ).decode()
    lines = (
        "POST /v1/chat/completions HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        f"Authorization: Bearer {_KEY}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join(lines) + "\r\n\r\n" + body


def _conversations(stage: Stage, people: list[Person]) -> list[UUID]:
    """A conversation for each."""
    db = Database(Urls(stage.urls.application, stage.urls.system), SystemClock())
    asked = {"title": "", "conversation_type": "general", "context": {}}
    try:
        return [
            UUID(
                str(
                    db.run_sync(
                        Principal(user_id=one.id, wanted=stage.bulk.tenants[0], needs=Ai.MINE),
                        service.create,
                        asked,
                        None,
                    )["id"]
                )
            )
            for one in people
        ]
    finally:
        db.close()


def _read(child: Child, requests: list[str], ask: str, coming_s: float) -> Seen:
    plan = Plan(child.port, requests, ask, coming_s, _SECONDS + _PATIENCE_S)
    command = [sys.executable, "-m", "benchmarks.stream_load"]
    done = subprocess.run(command, cwd=ROOT, input=orjson.dumps(asdict(plan)), stdout=subprocess.PIPE, check=True)
    return Seen(**orjson.loads(done.stdout))


def _profile(stage: Stage, directory: Path, web: Child, worker: Child, ask: str, people: list[Person]) -> None:
    """Once more in new conversations; web and worker are sampled while all answers run."""
    directory.mkdir(parents=True, exist_ok=True)
    requests = [
        upgrade(web.port, f"/ws/ai/{room}/?token={one.token}")
        for room, one in zip(_conversations(stage, people), people, strict=True)
    ]
    plan = Plan(web.port, requests, ask, _COMING_S, _SECONDS + _PATIENCE_S)
    command = [sys.executable, "-m", "benchmarks.stream_load"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as reading:
        if reading.stdin is None:
            raise RuntimeError("the load generator has no pipe")
        reading.stdin.write(orjson.dumps(asdict(plan)))
        reading.stdin.close()
        time.sleep(_COMING_S + 1)
        for child in (web, worker):
            folded = directory / f"ai-streams-{child.name.split()[0]}.folded"
            with flame.record(child, 8, folded) as spy:
                spy.wait()
            print(f"\nai-streams, {child.name}: {folded}\n{flame.summary(folded)}\n")
