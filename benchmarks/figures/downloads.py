"""Downloads: what the web process spends on sending a large file, beside nginx."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks.processes import cpu_s
from benchmarks.registry import Measured, figure
from benchmarks.stage import RUNS, SECRET, Stage, median, spread
from edurise.adapters.clock import SystemClock
from edurise.adapters.stores.local_store import LocalStore
from edurise.db import Database, Urls
from edurise.files import keys
from edurise.files.links import Link, LinkSigner
from tests.harness.services import OwnNginx

_MIB = 1024 * 1024
_FILE_MIB, _TIMES = 200, 5
_GB = 1e9
_MOST = 3.0


@figure("download")
def download(stage: Stage) -> Measured:
    """A file of 200 MiB by its signed link, five times, from memory to one client; nginx sends the same file."""
    path, plain = _file(stage)
    web = stage.web()
    ours: list[float] = []
    theirs: list[float] = []
    with OwnFiles(stage.directory / "nginx", stage.port(), plain) as nginx:
        worker = _worker(nginx.pid)
        _take(web.port, path)
        for run in range(RUNS):
            for which in (run % 2, 1 - run % 2):
                if which:
                    theirs.append(_cost(worker, nginx.port, f"/{plain.name}"))
                else:
                    ours.append(_cost(web.pid, web.port, path))
    web.check()
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return Measured(
        name="download",
        value=median(ours) * 1000,
        unit="CPU ms/GB",
        ratio=median(ratios),
        of="nginx's worker with sendfile",
        target=f"≤ {_MOST:.1f} × nginx",
        holds=median(ratios) <= _MOST,
        details=(
            f"nginx {median(theirs) * 1000:.0f} ms/GB, ratio {spread(ratios)}",
            f"{_TIMES} times {_FILE_MIB} MiB a run; each begins with the policy, the count and the log",
        ),
    )


class OwnFiles(OwnNginx):
    """nginx that sends the folder of one file."""

    def __init__(self, directory: Path, port: int, file: Path) -> None:
        super().__init__(directory, port, ["127.0.0.1:9"])
        self._file = file

    def _prepare(self) -> None:
        super()._prepare()
        path = self.directory / "nginx.conf"
        before, after = path.read_text(encoding="utf-8").split("    location / {", 1)
        sends = f"    location = /{self._file.name} {{ alias {self._file}; sendfile on; }}\n"
        path.write_text(f"{before}{sends}    location / {{{after}", encoding="utf-8")


def _file(stage: Stage) -> tuple[str, Path]:
    """The path of a signed link to a stored file, and where it lies."""
    file_id, person, tenant = uuid4(), stage.bulk.students[1].id, stage.bulk.tenants[0]
    key, digest = keys.of(uuid4()), hashlib.sha256()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(_FILE_MIB):
            piece = os.urandom(_MIB)
            digest.update(piece)
            yield piece

    async def stored() -> Path:
        store = LocalStore(stage.directory / "files", SystemClock())
        try:
            await store.put(key, pieces())
            found = store.path(key)
        finally:
            await store.close()
        if found is None:
            raise RuntimeError("the local store has no plain file")
        return found

    plain = asyncio.run(stored())
    _insert(stage, {"id": file_id, "tenant": tenant, "person": person, "key": key, "sha256": digest.hexdigest()})
    now = SystemClock().now()
    link = Link(file_id, person, 1, "attachment", int(now.timestamp()) + 3600)
    return f"/api/v1/file-links/{LinkSigner(SECRET).sign(link, now)}/film.mp4", plain


def _insert(stage: Stage, values: dict[str, UUID | str]) -> None:
    statement = text("""
    INSERT INTO files (id, tenant_id, owner_id, category_id, name, extension, title, description, tags, media_type,
                       size_bytes, sha256, crc32, access, state, scan, scan_note, store, key, link_version,
                       download_count, created_at, updated_at)
    SELECT :id, :tenant, :person, c.id, 'film.mp4', 'mp4', 'Film', '', '{}', 'video/mp4',
           :size, :sha256, 0, 'owner', 'ready', 'clean', '', 'local', :key, 1, 0, now(), now()
      FROM file_categories c WHERE c.slug = 'documents'
    """)
    db = Database(Urls(stage.urls.application, stage.urls.system), SystemClock())

    def insert(session: Session) -> None:
        session.execute(statement, values | {"size": _FILE_MIB * _MIB})

    try:
        db.system_sync(insert)
    finally:
        db.close()


def _worker(master: int) -> int:
    """The one worker of an nginx."""
    found = subprocess.run(["pgrep", "-P", str(master)], capture_output=True, check=True, text=True)
    return int(found.stdout.split()[0])


def _cost(pid: int, port: int, path: str) -> float:
    """Seconds of processor time for a GB."""
    before = cpu_s(pid)
    taken = sum(_take(port, path) for _ in range(_TIMES))
    return (cpu_s(pid) - before) * _GB / taken


def _take(port: int, path: str) -> int:
    """Read one answer to its end; returns the size of its body. Raises RuntimeError for one that is not whole."""
    room = memoryview(bytearray(_MIB))
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        first = connection.recv(65_536)
        head, _, body = first.partition(b"\r\n\r\n")
        taken = len(body)
        while count := connection.recv_into(room):
            taken += count
    if b" 200 " not in head.partition(b"\r\n")[0] or taken != _FILE_MIB * _MIB:
        raise RuntimeError(f"a download of {taken} bytes: {head[:200]!r}")
    return taken
