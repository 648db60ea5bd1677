"""An SMTP server that keeps what it is given, and refuses when told to.

In process: ``SmtpSimulator()`` with ``start``, ``mails``, ``stop``. As a process: ``python -m tests.simulators.smtp
--port N --folder DIR`` writes each accepted message, repetitions too, as a file of its own. A recipient
``refuse-550@…`` or ``refuse-451@…`` is refused with that code, as is everybody while ``refusal`` is set.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass(frozen=True)
class Received:
    """One accepted message."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage


class SmtpSimulator:
    """Runs in a thread of its own; ``mails`` grows in the order of acceptance."""

    def __init__(
        self,
        *,
        folder: Path | None = None,
        login: tuple[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        starttls: ssl.SSLContext | None = None,
    ) -> None:
        self.mails: list[Received] = []
        self.refusal: str | None = None
        """For example ``451 4.3.0 try later``: the answer to every recipient."""
        self.data_refusal: str | None = None
        """The answer to the content, after the recipients were accepted."""
        self._folder = folder
        self._login = login
        self._options: dict[str, Any] = {"ssl_context": tls}
        if starttls is not None:
            self._options |= {"tls_context": starttls, "require_starttls": True}
        if login is not None:
            self._options |= {"authenticator": self._authenticate, "auth_require_tls": False}
        self._lock = threading.Lock()
        self._controller: Controller | None = None

    @property
    def port(self) -> int:
        assert self._controller is not None
        return self._controller.port

    def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1; port 0 takes a free one."""
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
        self._controller = _BoundController(self, port, **self._options)
        self._controller.start()

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    async def handle_RCPT(  # noqa: N802 - aiosmtpd calls it by this name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        told = re.match(r"refuse-(\d{3})@", address)
        if self.refusal or told:
            return self.refusal or f"{told.group(1)} refused as asked"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd calls it by this name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if self.data_refusal:
            return self.data_refusal
        message = message_from_bytes(envelope.content, policy=policy.default)
        with self._lock:
            self.mails.append(Received(envelope.mail_from, tuple(envelope.rcpt_tos), message))
            if self._folder is not None:
                part = self._folder / f".{len(self.mails):06d}.part"
                part.write_bytes(envelope.content)
                part.replace(self._folder / f"{len(self.mails):06d}.eml")
        return "250 OK"

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        given = (data.login.decode(), data.password.decode()) if isinstance(data, LoginPassword) else None
        # handled=False lets aiosmtpd answer 535; with True the client would wait for an answer that never comes.
        return AuthResult(success=given == self._login, handled=False)


class _BoundController(Controller):
    """A controller on a socket that is already bound: a free port cannot be taken by somebody else in between."""

    def __init__(self, handler: SmtpSimulator, port: int, **options: Any) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        super().__init__(handler, hostname="127.0.0.1", port=self._socket.getsockname()[1], **options)

    def _create_server(self) -> Coroutine[Any, Any, asyncio.AbstractServer]:
        return self.loop.create_server(self._factory_invoker, sock=self._socket, ssl=self.ssl_context)


async def serve(port: int, folder: Path) -> None:
    """Run until SIGTERM or SIGINT; one line on standard output says when it listens."""
    simulator = SmtpSimulator(folder=folder)
    simulator.start(port)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    sys.stdout.write(f"smtp simulator at 127.0.0.1:{port}\n")
    sys.stdout.flush()
    await stopped.wait()
    simulator.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="An SMTP server for tests.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    asyncio.run(serve(given.port, given.folder))
