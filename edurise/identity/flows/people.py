"""Managing people: a platform administrator is first brought to the organization that is meant."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from edurise.authz import Grade, Principal
from edurise.errors import NotFound
from edurise.identity import liveness, people
from edurise.identity import roster as people_roster
from edurise.identity.flows.addresses import SEALED_FOR
from edurise.paging import Found

if TYPE_CHECKING:
    from edurise.container import Container


async def one(c: Container, who: Principal, named: UUID) -> dict[str, Any]:
    """A person as a User. Raises NotFound."""
    found: dict[str, Any] = await c.db.run(await _at(c, who, named), people.one, named)
    return found


async def change(c: Container, who: Principal, named: UUID, data: Mapping[str, Any]) -> dict[str, Any]:
    """As ``people.change``."""
    sealed = c.vault.seal_text(data["email"], SEALED_FOR) if "email" in data else None
    found: dict[str, Any] = await c.db.run(await _at(c, who, named), people.change, named, data, sealed)
    return found


async def give_role(c: Container, who: Principal, named: UUID, role: str) -> dict[str, Any]:
    """As ``people.give_role``."""
    found: dict[str, Any] = await c.db.run(await _at(c, who, named), people.give_role, named, role)
    return found


async def switch(c: Container, who: Principal, named: UUID, *, active: bool) -> dict[str, Any]:
    """As ``people.switch``."""
    found: dict[str, Any] = await c.db.run(await _at(c, who, named), people.switch, named, active)
    return found


async def remove(c: Container, who: Principal, named: UUID) -> None:
    """As ``people.remove``."""
    await c.db.run(await _at(c, who, named), people.remove, named)


async def everybody(c: Container, who: Principal) -> Found:
    """As ``people.everybody``."""
    admitted: Principal = await c.db.run(who, liveness.admitted)
    found: Found = await c.db.system(people.everybody, admitted)
    return found


async def roster(c: Container, who: Principal, form: str) -> bytes:
    """The members of the acting organization as a sheet, ``csv`` or ``xlsx``, made beside the loop."""
    found = await c.db.run(who, people_roster.rows)
    return await asyncio.to_thread(c.sheets.write, form, people_roster.HEADINGS, found)


async def _at(c: Container, who: Principal, named: UUID) -> Principal:
    """The caller in the organization that is meant: the acting one, unless the platform's administrators ask."""
    admitted: Principal = await c.db.run(who, liveness.admitted)
    if not admitted.stands(Grade.PLATFORM):
        return who
    tenant_id: UUID | None = await c.db.system(people.tenant_meant, admitted, named)
    if tenant_id is None:
        raise NotFound
    return replace(who, wanted=tenant_id, strict=False, otherwise=None)
