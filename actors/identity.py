"""Periodic work on sessions, links and keys."""

from __future__ import annotations

from datetime import timedelta

import structlog

from actors.schedule import job
from edurise.container import Container
from edurise.identity import federation, keys, mailed, sessions, sign_ins

LOG = structlog.get_logger("jobs")


@job(every_s=3600)
async def forget_expired_sessions(c: Container) -> None:
    """Sessions and revocations that can matter no more."""
    await c.db.system(sessions.forget_expired)


@job(every_s=24 * 3600)
async def forget_links(c: Container) -> None:
    """Mailed links that ended long ago."""
    await c.db.system(mailed.forget)


@job(every_s=3600)
async def retire_signing_keys(c: Container) -> None:
    """Keys whose last token has expired; doors accept one for a day longer."""
    outlived = timedelta(seconds=c.settings.access_token_s, hours=25)
    retired = await c.db.system(keys.retire, outlived)
    if retired:
        LOG.info("signing keys retired", kids=retired)


@job(every_s=3600)
async def forget_unfinished_sign_ins(c: Container) -> None:
    """Ways to a provider that lead nowhere any more, and accounts elsewhere that nobody confirmed."""
    await c.db.system(sign_ins.forget_expired)
    await c.db.system(federation.forget_unlinked)
