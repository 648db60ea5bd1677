"""The document against the running server: schemathesis invents calls from it, as four kinds of people, and holds every
answer against what it says. No 500, no status, header or shape that is not written there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from tests.harness.world import Someone, World

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "allow_header_conformance",
)
# Another seed finds other things; this one finds the same each time.
SEED, CALLS, SECONDS = "20261", "8", 40
# An invented log-out or switch would change the caller itself for all calls after it, and an invented tenant header
# would shut them out; the header is pinned instead.
LEFT_OUT = ("/api/v1/accounts/auth/logout/", "/api/v1/users/switch_tenant/")

ROLES: dict[str, Callable[[World], Someone | None]] = {
    "anonymous": lambda _: None,
    "student": lambda world: world.person(teaches=True),
    "teacher": lambda world: world.person("teacher", world.organization()),
    "administrator": lambda world: world.person("admin", world.organization()),
}


def command(world: World, who: Someone | None, report: Path) -> list[str]:
    options = [
        "run", f"{world.base_url}/api/v1/openapi.json", "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing",
        "--max-examples", CALLS, "--seed", SEED, "--no-shrink", "--continue-on-failure", "--suppress-health-check", "all",
        "--warnings", "off", "--request-timeout", "10", "--generation-database", "none", "--no-color",
    ]  # fmt: skip
    for path in LEFT_OUT:
        options += ["--exclude-path", path]
    if who is not None:
        options += ["-H", f"Authorization: Bearer {who.access}", "-H", f"X-Tenant-ID: {who.tenant_id}"]
    return [str(Path(sys.executable).parent / "schemathesis"), *options]


@pytest.mark.gen_test(timeout=SECONDS + 20)
@pytest.mark.parametrize("role", ROLES)
async def test_the_server_is_what_its_document_says(world: World, role: str, tmp_path: Path) -> None:
    who = ROLES[role](world)
    if role == "teacher" and who is not None:
        course = world.course(who, price=Decimal(5))
        world.lesson(who, world.module(who, course["id"])["id"])
    process = await asyncio.create_subprocess_exec(
        *command(world, who, tmp_path),
        cwd=tmp_path,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(SECONDS):
            output, _ = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    assert process.returncode == 0, output.decode()[-12_000:]
