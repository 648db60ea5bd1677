"""The document against the running server: schemathesis invents calls from it, as five kinds of people, and holds every
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
# Another seed finds other things; this one begins the same each time. The five run side by side, for BUDGET_S each.
SEED, BUDGET_S, SECONDS = "20261", "12", 60
# Coverage tries every bound of every field in turn; only who may write gets past the first check with it.
PHASES = {"teacher": "coverage"}
# An invented log-out or switch would change the caller itself for all calls after it, and an invented tenant header
# would shut them out; the header is pinned instead.
LEFT_OUT = (
    "/api/v1/accounts/auth/logout/",
    "/api/v1/accounts/auth/logout/all/",
    "/api/v1/accounts/sessions/end/",
    "/api/v1/users/switch_tenant/",
)

ROLES: dict[str, Callable[[World], Someone | None]] = {
    "anonymous": lambda _: None,
    "student": lambda world: world.person(teaches=True),
    "teacher": lambda world: world.person("teacher", world.organization()),
    "administrator": lambda world: world.person("admin", world.organization()),
    "platform": lambda world: world.person("admin", platform=True),
}


def command(world: World, who: Someone | None, phases: str) -> list[str]:
    options = [
        "run", f"{world.base_url}/api/v1/openapi.json", "--checks", ",".join(CHECKS), "--phases", phases,
        "--max-time", BUDGET_S, "--seed", SEED, "--no-shrink", "--continue-on-failure", "--suppress-health-check", "all",
        "--warnings", "off", "--request-timeout", "10", "--generation-database", "none", "--no-color",
    ]  # fmt: skip
    for path in LEFT_OUT:
        options += ["--exclude-path", path]
    if who is not None:
        options += ["-H", f"Authorization: Bearer {who.access}", "-H", f"X-Tenant-ID: {who.tenant_id}"]
    return [str(Path(sys.executable).parent / "schemathesis"), *options]


async def findings(world: World, role: str, folder: Path) -> str:
    """What schemathesis complains of as one kind of caller; nothing where all is well."""
    who = ROLES[role](world)
    if role == "teacher" and who is not None:
        course = world.course(who, price=Decimal(5))
        world.lesson(who, world.module(who, course["id"])["id"])
    process = await asyncio.create_subprocess_exec(
        *command(world, who, PHASES.get(role, "fuzzing")),
        cwd=folder,
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
    text = output.decode()
    assert " generated" in text, f"it called nothing: {text[-4000:]}"
    return "" if process.returncode == 0 else text[-8_000:]


@pytest.mark.gen_test(timeout=SECONDS + 20)
async def test_the_server_is_what_its_document_says(world: World, tmp_path: Path) -> None:
    found = await asyncio.gather(*(findings(world, role, tmp_path) for role in ROLES))
    assert {role: text for role, text in zip(ROLES, found, strict=True) if text} == {}
