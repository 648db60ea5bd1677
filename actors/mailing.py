"""Renders a mail for somebody and sends it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edurise.container import Container
from edurise.notifications import mails
from edurise.notifications.ports import Mail
from edurise.outbox import Event


async def send(
    c: Container, event: Event, kind: str, to: Mapping[str, Any], path: str, params: Mapping[str, Any]
) -> None:
    """Send the mail ``kind`` to ``{email, first_name, language}``; its link leads to a ``path`` of the user interface.

    A repeat for one event has the same Message-ID, so that a mailbox shows it once.
    """
    link = f"{c.settings.ui_url.rstrip('/')}{path}"
    rendered = mails.render(kind, to["language"], {**params, "name": to["first_name"], "link": link})
    await c.mailer.send(
        Mail(
            to=to["email"],
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
            message_id=f"{event.id.hex}.{kind}@mail.invalid",
            language=rendered.language,
        )
    )
