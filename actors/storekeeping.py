"""``python run.py files verify|move``: the long work on stores, and what an operator is told of it.

Progress goes to the error output, what was found to the output.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import UUID

import typer

from edurise.adapters.refusals import Refused
from edurise.errors import NotFound
from edurise.files.flows import moving, verifying
from edurise.files.flows.verifying import Verified
from edurise.files.ports import StoreUnavailable
from edurise.tenants import queries as tenants

if TYPE_CHECKING:
    from edurise.container import Container

KEPT_S = moving.KEPT_S
TOLD_EVERY_S = 2.0
_MIB = 1024**2


async def verify(c: Container, subdomain: str, store: str, *, orphans: bool) -> bool:
    """Read every object, also those that nobody refers to if ``orphans``; returns whether all is as it was.

    Raises Refused for an organization or a store that there is not.
    """
    if store:
        _check_store(c, store)
    tenant_id = await _organization(c, subdomain) if subdomain else None
    tell = _Teller()
    told = 0

    def hear(found: Verified) -> None:
        nonlocal told
        for fault in found.faults[told:]:
            typer.echo(f"{fault.reason}: file {fault.file_id}, {fault.store} {fault.key}")
        told = len(found.faults)
        tell(lambda: f"{found.files} files read, {found.read_bytes / _MIB:.1f} MiB, {told} at fault")

    found = await verifying.verify(c, tenant_id, store or None, hear)
    if orphans:
        for name in [store] if store else list(c.stores):
            await _list_orphans(c, name)
    typer.echo(f"{found.files} files read, {found.read_bytes / _MIB:.1f} MiB, {len(found.faults)} at fault")
    return not found.faults


async def move(c: Container, subdomain: str, target: str, kept_s: float) -> bool:
    """Move an organization's files to a store; returns whether none has to be looked after.

    Raises Refused for an organization or a store that there is not, and where a store fails.
    """
    _check_store(c, target)
    tell = _Teller()
    try:
        tenant_id = await moving.begin(c, subdomain, target)
        moved = await moving.move(
            c,
            tenant_id,
            target,
            lambda so_far: tell(lambda: _counted(so_far)),
            lambda: typer.echo(_WAITING, err=True),
            kept_s,
        )
    except NotFound:
        raise Refused(f"There is no organization {subdomain!r}.") from None
    except StoreUnavailable as failed:
        raise Refused(f"The store {failed.store} does not answer ({failed.reason}); run this again later.") from failed
    for one, reason in moved.left.items():
        typer.echo(f"{reason}: {one}")
    typer.echo(_counted(moved))
    return all(reason == "arriving" for reason in moved.left.values())


_WAITING = "All are moved. The old objects stay a moment longer, for whoever reads them now."


def _counted(moved: moving.Moved) -> str:
    return f"{moved.files} files moved, {moved.moved_bytes / _MIB:.1f} MiB, {len(moved.left)} left"


async def _list_orphans(c: Container, name: str) -> None:
    try:
        async for one in verifying.orphans(c, name):
            typer.echo(f"orphan: {name} {one.key}, {one.size} bytes of {one.at.isoformat()}")
    except StoreUnavailable as failed:
        raise Refused(f"The store {failed.store} cannot be listed ({failed.reason}).") from failed


async def _organization(c: Container, subdomain: str) -> UUID:
    found: UUID | None = await c.db.system(tenants.by_subdomain, subdomain)
    if found is None:
        raise Refused(f"There is no organization {subdomain!r}.")
    return found


def _check_store(c: Container, name: str) -> None:
    if name not in c.stores:
        raise Refused(f"There is no store {name!r}; configured are: {', '.join(sorted(c.stores))}.")


class _Teller:
    """Says how far it is, now and then."""

    def __init__(self) -> None:
        self._due_at = asyncio.get_running_loop().time() + TOLD_EVERY_S

    def __call__(self, words: Callable[[], str]) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._due_at:
            self._due_at = now + TOLD_EVERY_S
            typer.echo(words(), err=True)
