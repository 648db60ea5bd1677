"""What holds somebody back who wants to leave altogether: an organization that would have no administrator."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

# The administrators of all organizations that the person administers, in one order by everybody.
_LOCKED = text("""
SELECT m.id FROM memberships m
 WHERE m.role = 'admin' AND m.is_active AND m.tenant_id IN (
       SELECT o.id FROM memberships own JOIN organizations o ON o.id = own.tenant_id AND o.is_active
        WHERE own.person_id = :person AND own.role = 'admin' AND own.is_active)
 ORDER BY m.tenant_id, m.person_id FOR UPDATE OF m
""")
# Who is leaving, too, does not stay.
_ALONE = text("""
SELECT o.name FROM memberships own JOIN organizations o ON o.id = own.tenant_id AND o.is_active
 WHERE own.person_id = :person AND own.role = 'admin' AND own.is_active AND NOT EXISTS (
       SELECT FROM memberships m JOIN people p ON p.id = m.person_id
        WHERE m.tenant_id = own.tenant_id AND m.person_id <> own.person_id AND m.role = 'admin' AND m.is_active
          AND p.is_active AND p.erase_after IS NULL)
 ORDER BY o.name, o.id LIMIT 1
""")


def administered_alone(session: Session, person_id: UUID) -> str | None:
    """The name of an organization that nobody but the person administers and stays, or None (system role). Who ends
    the rights of its administrators meanwhile waits."""
    session.flush()
    values = {"person": person_id}
    session.connection().execute(_LOCKED, values).all()
    found: str | None = session.connection().scalar(_ALONE, values)
    return found
