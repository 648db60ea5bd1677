"""Teacher applications over all organizations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edurise.authz import Principal
from edurise.identity import applications

if TYPE_CHECKING:
    from edurise.container import Container


async def applications_for(c: Container, who: Principal) -> applications.Listed:
    """Teacher applications as this reader may see them; a platform administrator's reading is audited."""
    found: applications.Listed = await c.db.run(who, applications.listed)
    if found.everywhere:
        found = await c.db.system(applications.of_all, who)
    return found
