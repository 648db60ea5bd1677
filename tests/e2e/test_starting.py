"""What keeps a process from starting is one clear sentence and an exit code, never a traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = "postgresql+psycopg2://x:y@127.0.0.1:1/z"
ELSEWHERE = {
    "DATABASE_URL": NOWHERE,
    "DATABASE_OWNER_URL": NOWHERE,
    "DATABASE_SYSTEM_URL": NOWHERE,
    "REDIS_URL": "redis://127.0.0.1:1",
    "AMQP_URL": "amqp://127.0.0.1:1",
    "EDU_SECRET_KEY": "0123456789012345678901234567890123456789",
    "PORT": "0",
}
pytestmark = pytest.mark.e2e


def started(*arguments: str, **environment: str) -> tuple[int, str]:
    """The exit code and everything said by ``python run.py …`` with an otherwise empty environment."""
    found = subprocess.run(
        [sys.executable, "run.py", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = found.stdout + found.stderr
    assert "Traceback" not in said
    return found.returncode, said


def test_every_broken_setting_is_named() -> None:
    code, said = started("all", PORT="abc", EDU_POOL_SIZE="0")
    assert code == 2
    assert "PORT: Not a valid integer." in said
    assert "EDU_POOL_SIZE: Must be greater than or equal to 1" in said


def test_production_wants_everything_real() -> None:
    code, said = started("web", EDU_MODE="production")
    assert code == 2
    for name in ("DATABASE_URL", "REDIS_URL", "AMQP_URL", "EDU_SECRET_KEY", "EDU_STRIPE_SECRET_KEY"):
        assert f"{name}: must be set" in said
    for name in ("EDU_SMTP_URL", "EDU_OPENAI_API_KEY", "EDU_FILE_STORE"):
        assert f"{name}: must be set" in said


def test_the_published_secret_is_refused_beside_a_real_database() -> None:
    environment = {name: value for name, value in ELSEWHERE.items() if name != "EDU_SECRET_KEY"}
    code, said = started("web", **environment)
    assert (code, "EDU_SECRET_KEY: must be set" in said) == (2, True)


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, said = started("web", **{**ELSEWHERE, "PORT": port})
    assert code == 2
    assert f"Port {port} on 127.0.0.1 cannot be used" in said


def test_a_database_that_is_away_is_said_to_be() -> None:
    code, said = started("web", **ELSEWHERE)
    assert (code, "The database does not answer" in said) == (2, True)
    code, said = started("migrate", **ELSEWHERE)
    assert (code, "does not let this process in" in said) == (2, True)


def test_a_core_that_is_not_there_is_named() -> None:
    code, said = started("web", **{**ELSEWHERE, "EDU_CPU": "4000"})
    assert (code, "EDU_CPU: core 4000 is not among those" in said) == (2, True)


def test_check_names_each_fault() -> None:
    code, said = started("check", **ELSEWHERE)
    assert code == 1
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_SYSTEM_URL", "REDIS_URL", "AMQP_URL"):
        assert f"{name}: " in said


def test_the_document_needs_no_database() -> None:
    code, said = started("openapi")
    assert (code, '"openapi": "3.1.0"' in said) == (0, True)
