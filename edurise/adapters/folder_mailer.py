"""The stand-in for a mail server in embedded mode: each message becomes an .eml file that any mail program opens."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import tempfile
from pathlib import Path

from edurise.adapters.mime import compose
from edurise.errors import Upstream
from edurise.notifications.ports import Mail
from edurise.ports import Clock


class FolderMailer:
    """Writes one file per Message-ID: a message that is sent again replaces itself, so "at least once" is seen once."""

    def __init__(self, folder: Path, clock: Clock, *, sender: str) -> None:
        self._folder = folder
        self._clock = clock
        self._sender = sender

    async def send(self, mail: Mail) -> None:
        message = compose(mail, sender=self._sender, at=self._clock.now())
        path = self._folder / file_name(str(message["Message-ID"]))
        try:
            await asyncio.to_thread(_write, path, message.as_bytes())
        except OSError as refused:
            raise Upstream("MAIL_UNAVAILABLE") from refused


def file_name(message_id: str) -> str:
    """A name that can be read, and that differs whenever the ids differ."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", message_id).strip("-")[:80]
    return f"{readable}-{hashlib.sha256(message_id.encode()).hexdigest()[:12]}.eml"


def _write(path: Path, content: bytes) -> None:
    """Whoever looks sees the whole file or none."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
