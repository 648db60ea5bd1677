"""clamd of a test's own, with one signature: the harmless file by which scanners are tried (eicar.org)."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence
from typing import ClassVar

from tests.harness.services import OwnService, ServiceError, find_binary

# In two halves, so that no scanner takes this file for one.
EICAR = (rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD" + rb"-ANTIVIRUS-TEST-FILE!$H+H*") + b"\n"
SIGNATURE = "Eicar.Test.Custom"
STREAM_MAX_BYTES = 4 * 1024 * 1024


class OwnClamd(OwnService):
    """ClamAV's daemon on a port of this machine, without the official database."""

    name = "clamd"
    account: ClassVar[str | None] = None

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    @property
    def local_url(self) -> str:
        """Its socket in the file system."""
        return f"unix://{self.directory / 'clamd.sock'}"

    def _prepare(self) -> None:
        super()._prepare()
        database = self.directory / "signatures"
        database.mkdir(exist_ok=True)
        (database / "custom.ndb").write_text(f"{SIGNATURE}:0:*:{EICAR.strip().hex()}\n")
        settings = {
            "DatabaseDirectory": database,
            "TemporaryDirectory": self.directory,
            "TCPSocket": self.port,
            "TCPAddr": "127.0.0.1",
            "LocalSocket": self.directory / "clamd.sock",
            "FixStaleSocket": "yes",  # a killed one leaves it
            "Foreground": "yes",
            "StreamMaxLength": STREAM_MAX_BYTES,
        }
        if os.geteuid() == 0:
            settings["User"] = "root"  # else it becomes an account that may not read this directory
        lines = "".join(f"{name} {value}\n" for name, value in settings.items())
        (self.directory / "clamd.conf").write_text(lines)

    def _command(self) -> Sequence[str]:
        binary = find_binary("clamd")
        if binary is None:
            raise ServiceError("clamd is not installed")
        return [binary, f"--config-file={self.directory / 'clamd.conf'}"]

    def _answers(self) -> bool:
        return self._ask(b"zPING\0") == b"PONG\0"

    def _is_ours(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _ask(self, command: bytes) -> bytes:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=2) as probe:
            probe.sendall(command)
            return probe.recv(100)
        return b""
