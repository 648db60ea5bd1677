"""Resumable uploads with the clients that people use: tuspy, and tus-js-client in Node."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from tusclient import client as tuspy

from tests.harness.machine import require
from tests.harness.services import scratch
from tests.harness.world import Someone, World
from tests.http.test_tus import content_of, noise, row

JS = Path(__file__).resolve().parents[1] / "harness" / "tus_js"
CHUNK = 3_000_000
SIZE = 20 * 1024 * 1024 + 12_345
INSTALL_S, UPLOAD_S = 180, 60


@pytest.fixture
def teacher(world: World) -> Someone:
    return world.person("teacher", world.organization())


@pytest.fixture(scope="module")
def file() -> Iterator[Path]:
    with scratch() as directory:
        path = directory / "knots.txt"
        path.write_bytes(noise(SIZE))
        yield path


@pytest.fixture(scope="module")
def javascript() -> Iterator[Path]:
    """The script, with the client that it needs beside it."""
    npm = require("npm")
    require("node")
    with scratch() as directory:
        for name in ("package.json", "package-lock.json", "upload.js"):
            shutil.copy(JS / name, directory)
        subprocess.run(
            [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=directory,
            check=True,
            timeout=INSTALL_S,
            capture_output=True,
        )
        yield directory / "upload.js"


def path_of(world: World, url: str) -> str:
    return url.strip().removeprefix(world.base_url)


@pytest.mark.gen_test(timeout=UPLOAD_S)
async def test_tuspy_uploads_and_goes_on_after_it_was_stopped(world: World, teacher: Someone, file: Path) -> None:
    endpoint = f"{world.base_url}/api/v1/file-uploads/tus/"
    given = {"filename": "knots.txt", "category": "documents"}

    def begin() -> str:
        found = tuspy.TusClient(endpoint, headers={"Authorization": f"Bearer {teacher.access}"})
        with file.open("rb") as stream:
            uploader = found.uploader(file_stream=stream, chunk_size=CHUNK, metadata=given, upload_checksum=True)
            uploader.upload_chunk()
            uploader.upload_chunk()
            return uploader.url

    def go_on(url: str) -> None:
        found = tuspy.TusClient(endpoint, headers={"Authorization": f"Bearer {teacher.access}"})
        with file.open("rb") as stream:
            found.uploader(file_stream=stream, chunk_size=CHUNK, url=url).upload()

    url = await asyncio.to_thread(begin)
    path = path_of(world, url)
    assert row(world, path)["offset_bytes"] == 2 * CHUNK
    await asyncio.to_thread(go_on, url)
    assert await content_of(world, path) == noise(SIZE)
    assert row(world, path)["state"] == "done"


@pytest.mark.gen_test(timeout=INSTALL_S + UPLOAD_S)
async def test_tus_js_client_uploads_and_goes_on_after_it_was_stopped(
    world: World, teacher: Someone, file: Path, javascript: Path
) -> None:
    endpoint = f"{world.base_url}/api/v1/file-uploads/tus/"

    def run(*more: str, **environment: str) -> str:
        found = subprocess.run(
            [require("node"), str(javascript), endpoint, teacher.access, str(file), str(CHUNK), *more],
            env={**os.environ, **environment},
            check=False,
            timeout=UPLOAD_S,
            capture_output=True,
            text=True,
        )
        assert found.returncode == 0, found.stderr
        return found.stdout

    whole = path_of(world, await asyncio.to_thread(run))
    assert await content_of(world, whole) == noise(SIZE)
    url = (await asyncio.to_thread(run, str(2 * CHUNK))).strip()
    path = path_of(world, url)
    stopped = row(world, path)
    assert (stopped["state"], 2 * CHUNK <= stopped["offset_bytes"] < SIZE) == ("open", True)
    await asyncio.to_thread(run, RESUME=url)
    assert await content_of(world, path) == noise(SIZE)
    assert UUID(path.rstrip("/").rpartition("/")[2]) == stopped["id"]
