"""Periodic work on sessions."""

from __future__ import annotations

from actors.schedule import job
from edurise.container import Container
from edurise.identity import sessions


@job(every_s=3600)
async def forget_expired_sessions(c: Container) -> None:
    """Sessions and revocations that can matter no more."""
    await c.db.system(sessions.forget_expired)
