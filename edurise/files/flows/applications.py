"""Teacher applications over all organizations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edurise.authz import Principal
from edurise.files import application_documents
from edurise.files.links import Links
from edurise.identity.applications import Listed

if TYPE_CHECKING:
    from edurise.container import Container


async def applications_for(c: Container, who: Principal, links: Links) -> Listed:
    """Teacher applications as this reader may see them; a platform administrator's reading is audited."""
    found: Listed = await c.db.run(who, application_documents.listed, links)
    if found.everywhere:
        found = await c.db.system(application_documents.of_all, who, links)
    return found
