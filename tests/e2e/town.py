"""Whom a stack's story begins with: an organization, administrators, and, for loads, teachers, courses and learners.

They are made through the services of the capabilities, on the stack's database, because no call of the API makes them.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from edurise.adapters.clock import SystemClock
from edurise.authz import Grade, Principal, permission
from edurise.courses import service as courses
from edurise.db import Database, Urls
from edurise.identity import service as identity
from edurise.identity.models import Person
from edurise.tenants import service as tenants
from edurise.tenants.limits import UNLIMITED
from edurise.tenants.quotas import PlanQuotas
from tests.harness.client import Client
from tests.harness.processes import Stack
from tests.harness.world import HASHED, PASSWORD

AUTH = "/api/v1/accounts/auth"
WRITE = permission("tests.write_courses", Grade.TEACHER)


class Town:
    """Writes to a stack's database; ``close`` it."""

    def __init__(self, stack: Stack) -> None:
        assert stack.urls is not None, "the stack was not started"
        self._db = Database(
            Urls(stack.urls.application, stack.urls.system),
            SystemClock(),
            pool_size=1,
            system_pool_size=1,
            quotas=PlanQuotas(UNLIMITED),
        )

    def close(self) -> None:
        """Close its connections."""
        self._db.close()

    def organization(self, name: str, subdomain: str) -> UUID:
        """Found an organization."""
        return self._db.system_sync(lambda session: tenants.found(session, name=name, subdomain=subdomain))

    def person(self, email: str, tenant_id: UUID, role: str = "student", *, platform: bool = False) -> UUID:
        """A person with a role in an organization, whose password is ``PASSWORD``."""

        def make(session: Session) -> UUID:
            name = email.partition("@")[0]
            person_id = identity.register(
                session, identity.NewPerson(email, name.title(), "Example"), HASHED, tenant_id
            )
            tenants.give_role(session, tenant_id, person_id, role)
            session.get_one(Person, person_id).is_platform_admin = platform
            return person_id

        return self._db.system_sync(make)

    def course(self, teacher_id: UUID, tenant_id: UUID, title: str, price: str) -> UUID:
        """A published course."""
        teacher = Principal(user_id=teacher_id, wanted=tenant_id, needs=WRITE)
        data: dict[str, Any] = {"title": title, "category": "technology", "price": price, "is_public": True}
        return self._db.run_sync(teacher, courses.create, data, None)[1]["id"]


async def logged_in(anonymous: Client, email: str) -> Client:
    """A client of the person with this address, by log-in."""
    answer = await anonymous.post(f"{AUTH}/login/", {"email": email, "password": PASSWORD})
    assert answer.status == 200, answer.content
    return anonymous.as_(answer.data["access"])
