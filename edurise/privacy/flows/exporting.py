"""The export of one's own data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edurise.authz import Principal
from edurise.identity import liveness
from edurise.privacy import exports

if TYPE_CHECKING:
    from edurise.container import Container


async def own(c: Container, who: Principal) -> bytes:
    """The caller's data as a JSON document, made in a thread of the database's."""
    await c.db.run(who, liveness.admitted)
    found: bytes = await c.db.system(exports.own, who)
    return found
