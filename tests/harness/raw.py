"""Requests as no library would send them: bytes on a socket, and what comes back."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class RawAnswer:
    """The first answer on a connection; header names in lower case."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.content)
        return found


async def send(base_url: str, *pieces: bytes, within_s: float = 10.0) -> RawAnswer:
    """Send the pieces one after the other and read one answer. A server that closes early stops the sending."""
    address = urlsplit(base_url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        async with asyncio.timeout(within_s):
            sending = asyncio.ensure_future(_send_all(writer, pieces))
            try:
                return await _read(reader)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
    finally:
        writer.close()


async def _send_all(writer: asyncio.StreamWriter, pieces: tuple[bytes, ...]) -> None:
    for piece in pieces:
        writer.write(piece)
        await writer.drain()


async def _read(reader: asyncio.StreamReader) -> RawAnswer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    length = int(headers.get("content-length", "0"))
    return RawAnswer(int(head[0].split(" ")[1]), headers, await reader.readexactly(length))
