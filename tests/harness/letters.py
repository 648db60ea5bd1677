"""Reads the mails that a World has written to its folder."""

from __future__ import annotations

import email
import re
from dataclasses import dataclass
from email import policy
from pathlib import Path

from tests.harness.world import World

_LINK = re.compile(r"https?://\S+")


@dataclass(frozen=True)
class Letter:
    """A mail: who gets it, its subject, its text, and the link in it."""

    to: str
    subject: str
    text: str
    written: float

    @property
    def link(self) -> str:
        found = _LINK.search(self.text)
        assert found is not None, self.text
        return found[0]

    @property
    def token(self) -> str:
        return self.link.partition("token=")[2]


def letters(world: World, to: str, subject: str = "") -> list[Letter]:
    """The mails to an address whose subject holds these words, the oldest first."""
    folder = world.c.settings.data_dir / "mail"
    found = [_read(path) for path in folder.glob("*.eml")]
    mine = [one for one in found if one.to.lower() == to.lower() and subject in one.subject]
    return sorted(mine, key=lambda one: one.written)


def _read(path: Path) -> Letter:
    message = email.message_from_bytes(path.read_bytes(), policy=policy.default)
    body = message.get_body(("plain",))
    assert body is not None
    return Letter(str(message["To"]), str(message["Subject"]), body.get_content(), path.stat().st_mtime_ns)
