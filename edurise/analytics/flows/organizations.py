"""Organizations over all organizations: listed, founded, changed, closed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy.orm import Session

from edurise.analytics import organizations as figured
from edurise.authz import About, Grade, Principal
from edurise.identity import liveness
from edurise.paging import Found, Window
from edurise.tenants import organizations

if TYPE_CHECKING:
    from edurise.container import Container


async def listing(c: Container, who: Principal, given: Mapping[str, Any], window: Window) -> Found:
    """The open organizations for anybody; all, with every figure, for a platform administrator, which is audited."""
    admitted: Principal = await c.db.run(who, liveness.admitted)
    if not admitted.stands(Grade.PLATFORM):
        public: Found = await c.db.run(who, figured.listing, given, window)
        return public
    found: Found = await c.db.system(figured.everything, admitted, given, window)
    return found


async def found(c: Container, who: Principal, data: Mapping[str, Any]) -> dict[str, Any]:
    """Found an organization; returns it. Raises as ``organizations.found``."""
    admitted: Principal = await c.db.run(who, liveness.admitted)
    made: dict[str, Any] = await c.db.system(organizations.found, admitted, data)
    return made


async def change(c: Container, who: Principal, tenant_id: UUID, data: Mapping[str, Any]) -> dict[str, Any]:
    """Change an organization; returns it with its figures. Raises as ``organizations.change``."""
    admitted: Principal = await c.db.run(who, liveness.admitted, about=About("organization", tenant_id))

    def work(session: Session) -> dict[str, Any]:
        organizations.change(session, admitted, tenant_id, data)
        return figured.detail(session, admitted)

    changed: dict[str, Any] = await c.db.system(work)
    return changed


async def close(c: Container, who: Principal, tenant_id: UUID) -> None:
    """Close an organization. Raises as ``organizations.close``."""
    admitted: Principal = await c.db.run(who, liveness.admitted, about=About("organization", tenant_id))
    await c.db.system(organizations.close, admitted, tenant_id)
