"""Erasing of a person, by the registry of personal data: one transaction as the system role, so that a process that is
killed in it leaves nothing half done. What lies outside the database follows by the events that the erasers record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.orm import Session

from edurise import audit, outbox
from edurise.authz import Principal
from edurise.db import moment
from edurise.identity import leaving
from edurise.personal import Fate, in_order
from edurise.privacy.events import AccountErased, AccountErasureDue
from edurise.sealing import Vault

SEALED_FOR = "farewell"
BATCH = 500
TELL_WITHIN = timedelta(days=3)
"""How long an address is kept, sealed, for a mail that could not be sent."""

_GIVEN_UP = text("""
SELECT d.event_id FROM deliveries d JOIN outbox o ON o.id = d.event_id
 WHERE d.dead_at < :before AND d.topic = :topic AND o.payload ->> 'sealed_letter' <> '' LIMIT :most
""")


@dataclass(frozen=True)
class Erased:
    """What became of the rows of one table. ``rows`` of what is kept are not counted."""

    table: str
    fate: Fate
    rows: int
    because: str


def ask(session: Session, after: UUID | None) -> UUID | None:
    """Ask for the erasing of the next people whose grace is over; returns the last of a full batch, to go on after."""
    found = leaving.due(session, after, BATCH)
    for person_id in found:
        outbox.record(session, None, AccountErasureDue(person_id=person_id))
    return found[-1] if len(found) == BATCH else None


def erase(session: Session, person_id: UUID, vault: Vault) -> list[Erased]:
    """Erase a person whose grace is over; returns the report, table by table. Nothing is done, and the report empty,
    for who was erased before, restored their account, or has time left.

    The address goes in this transaction; only the mail that tells of it carries it on, sealed, until it is sent.
    """
    farewell = leaving.farewell(session, person_id)
    if farewell is None:
        return []
    now = moment(session)
    report = []
    for one in in_order():
        touched = one.erase(session, person_id, now) if one.erase is not None else 0
        report.append(Erased(one.table, one.fate, touched, one.because))
    # Not as keys: the audit takes no name that sounds like a secret, and some tables do.
    counts = [{"table": one.table, "fate": one.fate.value, "rows": one.rows} for one in report]
    audit.write(session, Principal(), "account.erased", "person", person_id, tables=counts)
    told_of = farewell | {fate.value: _sum(report, fate) for fate in (Fate.DELETED, Fate.EMPTIED)}
    sealed = vault.seal_text(orjson.dumps(told_of).decode(), SEALED_FOR)
    outbox.record(session, None, AccountErased(person_id=person_id, sealed_letter=sealed))
    return report


def of_address(session: Session, email: str, vault: Vault) -> list[Erased] | None:
    """Erase the person of an address at once, for an operator who answers a letter; None for an unknown address."""
    person_id = leaving.end_at_once(session, email)
    return None if person_id is None else erase(session, person_id, vault)


def letter(vault: Vault, sealed: str) -> dict[str, Any]:
    """``{email, first_name, language, deleted, emptied}`` of an event's sealed letter; the last two count rows."""
    found: dict[str, Any] = orjson.loads(vault.unseal_text(sealed, SEALED_FOR))
    return found


def forget_letters(session: Session) -> int:
    """Blank the letters that could not be delivered for long; returns how many, at most a batch."""
    values = {"before": moment(session) - TELL_WITHIN, "topic": AccountErased.topic, "most": BATCH}
    found = session.connection().execute(_GIVEN_UP, values).scalars().all()
    for event_id in found:
        outbox.blank(session, AccountErased, event_id)
    return len(found)


def told(session: Session, event_id: UUID) -> None:
    """The mail was sent: its address is known nowhere any more."""
    outbox.blank(session, AccountErased, event_id)


def _sum(report: Sequence[Erased], fate: Fate) -> int:
    return sum(one.rows for one in report if one.fate is fate)
