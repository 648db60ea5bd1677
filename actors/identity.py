"""Periodic work on sessions and on ways to let somebody in."""

from __future__ import annotations

from actors.schedule import job
from edurise.container import Container
from edurise.identity import identities, sessions, sign_ins


@job(every_s=3600)
async def forget_expired_sessions(c: Container) -> None:
    """Sessions and revocations that can matter no more."""
    await c.db.system(sessions.forget_expired)


@job(every_s=3600)
async def forget_unfinished_sign_ins(c: Container) -> None:
    """Ways to a provider that lead nowhere any more, and accounts elsewhere that nobody confirmed."""
    await c.db.system(sign_ins.forget_expired)
    await c.db.system(identities.forget_unlinked)
