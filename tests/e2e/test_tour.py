"""The tour of the README, pasted into bash against a fresh embedded server."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from edurise.adapters.embedded.process import death_signal
from tests.harness.services import scratch

ROOT = Path(__file__).resolve().parents[2]
TOUR = "## A tour of five minutes"
READY_LINE = "Ctrl-C stops it."
DEADLINE_S = 120.0
PORT = 22090
BETWEEN = "-- next block --"


def blocks() -> list[str]:
    """The bash blocks of the tour, in order."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.split(f"\n{TOUR}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^```bash\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


def environment() -> dict[str, str]:
    """As in a fresh shell: nothing that would turn the server away from its embedded parts."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TMPDIR") if name in os.environ}
    return {**kept, "PORT": str(PORT)}


@pytest.fixture(scope="module")
def checkout() -> Iterator[Path]:
    """A directory that looks like the project's to whoever pastes, with data of its own."""
    with scratch() as made:
        for name in ("run.py", "alembic.ini", "alembic", "edurise", "handlers", "actors", "schemas", "docs"):
            (made / name).symlink_to(ROOT / name)
        (made / ".venv").symlink_to(sys.prefix)  # the whole of it: beside a lone interpreter nobody finds pyvenv.cfg
        yield made


@pytest.fixture(scope="module", autouse=True)
def server(checkout: Path) -> Iterator[None]:
    """``run.py all`` in the checkout, once it says that it is up; at the end it drains, in good order."""
    with (
        (checkout / "server.log").open("w+", encoding="utf-8") as log,
        subprocess.Popen(
            [sys.executable, "-u", "run.py", "all"],
            cwd=checkout,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            preexec_fn=death_signal(),  # noqa: PLW1509 - prctl only, looked up before the fork
        ) as process,
    ):
        assert process.stdout is not None
        try:
            said = ""
            while READY_LINE not in said:
                line = process.stdout.readline()
                assert line, (checkout / "server.log").read_text(encoding="utf-8")
                said += line
            assert f"http://127.0.0.1:{PORT}/docs" in said
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0


@pytest.mark.e2e
def test_the_tour_of_the_readme(checkout: Path) -> None:
    bash = shutil.which("bash")
    assert bash
    done = subprocess.run(
        [bash, "-e", "-o", "pipefail", "-c", "".join(f"{block}echo {BETWEEN}\n" for block in blocks())],
        cwd=checkout, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    parts = [part.strip().splitlines() for part in done.stdout.split(f"{BETWEEN}\n")[:-1]]
    prepared, login, found, refused, greeting, bought, told, listed = parts[:8]
    studied, joined, taught, asked, kept, switched, administered, exported, left = parts[8:]
    assert prepared == left == []
    assert login == ["Selin Kaya"]
    assert found == ["Python for People with Spreadsheets", "Riverside Academy", "49.0", "USD"]
    assert json.loads(refused[0])["code"] == "PAYMENT_REQUIRED"
    assert [json.loads(frame)["type"] for frame in greeting] == ["connection_established", "unread_count"]
    assert bought == ["sandbox", "49.0", "USD", "pending", "completed"]
    frames = [json.loads(frame) for frame in told]
    assert {frame["notification"]["type"] for frame in frames} == {"payment_settled", "course_enrollment"}
    assert [frame["offset"] for frame in frames] == [1, 2]
    assert [line.split(" - ")[0] for line in listed if " - " in line].count("payment_settled") == 1
    assert any(line.startswith("Subject:") for line in listed)
    assert len(studied) == 2
    assert joined[0] == "connection_established"
    assert set(joined[1:]) == {"attendance_update", "participant_joined"}
    assert (taught[0], taught[1], taught[-1]) == ("live", "class_status_update", "completed")
    assert taught[2].startswith("Selin present 20")
    assert asked[-3] == "done"
    assert [line.split()[0] for line in asked[-2:]] == ["user", "assistant"]
    assert "“" in "".join(asked), "the embedded tutor quotes"
    assert kept == ["Slice, zip, enumerate.", "1"]
    assert switched == ["Riverside Academy"]
    assert [line.split()[0] for line in administered[:-2]] == [
        *("users", "courses", "storage_bytes", "downloads", "ai_questions"),
    ]
    assert administered[-2:] == ["[]", "open"]
    assert {"identity", "payments", "enrollments"} <= set(exported[0].split()), "sections"


@pytest.mark.e2e
def test_the_documentation_stands_where_the_server_says() -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/docs", timeout=10) as page:
        assert page.status == 200
