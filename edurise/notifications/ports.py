"""What notifications needs from the outside: somebody who carries mail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Mail:
    """One message to one person.

    ``to`` is a bare address. ``message_id`` (RFC 5322, angle brackets optional) is the same whenever the same
    message is sent again, so that a repetition can be recognised. ``language`` is a BCP 47 tag.
    """

    to: str
    subject: str
    text: str
    html: str
    message_id: str
    language: str


class Mailer(Protocol):
    """Carries mail at least once: after an error the message may still have been delivered."""

    async def send(self, mail: Mail) -> None:
        """Hand the message over.

        Raises Invalid("MAIL_REFUSED", reason=…) if repeating cannot help (no such address, a line break in a
        header), and Upstream("MAIL_UNAVAILABLE") if it may.
        """
