"""Somebody with a row in every table that holds personal data, and what of them is left in a database."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise import channels
from edurise.adapters.provision import DatabaseUrls
from edurise.authz import ANY_PERSON, About, Principal
from edurise.identity import factors
from edurise.live import service as live
from edurise.live.telling import class_channel
from edurise.personal import declared
from edurise.tenants import service as tenants
from tests.harness.filing import kept
from tests.harness.talks import Talk
from tests.harness.world import Someone, World
from tests.security.scene import live_class, payment

_COUNTER = itertools.count(1)


@dataclass(frozen=True)
class Life:
    """A person, a school that they teach at, another where they learn, and words that are said of nobody else."""

    person: Someone
    teaches_at: UUID
    learns_at: UUID
    marks: tuple[str, ...]
    own_file: UUID
    course_file: UUID
    course: UUID
    attended: UUID


# What no flow of the domain makes here, by table; :p is the person, :t the school, :o a row's own id.
_ROWS = {
    "profiles": """INSERT INTO profiles (person_id, bio, phone, date_of_birth, education, social_links)
        VALUES (:p, :bio, :phone, '1990-02-03', '[{"institution": "Quillford"}]', '{"website": "https://q.example/"}')""",
    "preferences": "INSERT INTO preferences (person_id, theme) VALUES (:p, 'dark')",
    "notification_preferences": """INSERT INTO notification_preferences (person_id, chosen)
        VALUES (:p, '{"email": false}')""",
    "teacher_applications": """INSERT INTO teacher_applications (id, tenant_id, person_id, education, teaching_philosophy)
        VALUES (:o, :t, :p, :bio, :bio)""",
    "application_documents": """INSERT INTO application_documents (id, tenant_id, application_id, file_id, name)
        SELECT :o, tenant_id, id, :file, :cv FROM teacher_applications WHERE person_id = :p""",
    "mailed_links": """INSERT INTO mailed_links (id, person_id, purpose, email, expires_at)
        VALUES (:o, :p, 'verify_email', :email, now() + interval '1 day')""",
    "second_factors": "INSERT INTO second_factors (person_id, sealed_secret) VALUES (:p, :totp)",
    "recovery_codes": "INSERT INTO recovery_codes (id, person_id, code_hash) VALUES (:o, :p, 'hash-of-a-code')",
    "external_identities": """INSERT INTO external_identities (id, person_id, issuer, subject, email)
        VALUES (:o, :p, 'https://accounts.example', :phone, :email)""",
    "identity_providers": """INSERT INTO identity_providers (id, tenant_id, name, issuer, client_id)
        VALUES (:o, :t, 'One', CAST(:o AS text), 'client')""",
    "sign_ins": """INSERT INTO sign_ins (id, tenant_id, provider_id, state_hash, browser_hash, nonce, sealed_verifier,
            expires_at, person_id)
        SELECT :o, :t, id, :phone, 'browser-hash', 'nonce', 'sealed-verifier', now() + interval '1 day', :p
          FROM identity_providers WHERE tenant_id = :t LIMIT 1""",
    "invitations": """INSERT INTO invitations (id, tenant_id, email, first_name, last_name, role, expires_at)
        VALUES (:o, :learns, :email, :first, :last, 'student', now() + interval '1 day')""",
    "quota_holds": """INSERT INTO quota_holds (id, tenant_id, resource, person_id, amount, expires_at)
        VALUES (:o, :t, 'storage_bytes', :p, 0, now() + interval '1 day')""",
    "activity": """INSERT INTO activity (id, tenant_id, person_id, kind, object_kind, object_id, seconds, at)
        VALUES (:o, :t, :p, 'enrolled', 'course', :course, 0, now())""",
    "entitlements": """INSERT INTO entitlements (id, tenant_id, course_id, person_id, source, source_id, granted_at)
        SELECT :o, tenant_id, course_id, :p, 'payment', id, now() FROM payments WHERE learner_id = :p""",
    "uploads": """INSERT INTO uploads (id, tenant_id, user_id, way, store, key, size_bytes, expires_at, created_at,
            updated_at, described_as)
        VALUES (:o, :t, :p, 'tus', 'local', CAST(:p AS text), 9, now() + interval '1 day', now(), now(), :cv)""",
    "upload_parts": """INSERT INTO upload_parts (id, tenant_id, user_id, upload_id, number, size_bytes, tag)
        SELECT :o, tenant_id, user_id, id, 1, 9, 'tag' FROM uploads WHERE key = CAST(:p AS text)""",
    "file_accesses": """INSERT INTO file_accesses (id, tenant_id, file_id, person_id, ip, at)
        VALUES (:o, :t, :file, :p, :ip, now())""",
    "outbox": """INSERT INTO outbox (id, topic, payload, at, spread_at) VALUES (:o, 'identity.email_changed.v1',
        jsonb_build_object('person_id', CAST(:p AS text), 'sealed_email', 'sealed-address'), now(), now())""",
}
_MARKED = (
    "UPDATE sessions SET ip = :ip, user_agent = :agent WHERE person_id = :p",
    "UPDATE audit_log SET ip = :ip, user_agent = :agent WHERE person_id = :p",
)


def everything_of(world: World, owner: Connection, life: dict[str, Any]) -> None:
    """The rows of ``_ROWS``, and addresses and browsers in those of the domain."""
    for statement in _ROWS.values():
        owner.execute(text(statement), life | {"o": uuid7()})
    for statement in _MARKED:
        owner.execute(text(statement), life)


async def whole_life(world: World, database: DatabaseUrls, teaches_at: UUID, learns_at: UUID) -> Life:
    """Somebody who teaches in one organization and learns in another, with a row in every table of the registry."""
    number = next(_COUNTER)
    person = world.person("teacher", teaches_at)
    first, last = f"Wilhelmina{number}", f"Quisenberry{number}"
    owner = create_engine(database.owner, poolclass=NullPool)
    with owner.begin() as connection:
        connection.execute(
            text("UPDATE people SET first_name = :f, last_name = :l, avatar_path = :a WHERE id = :p"),
            {"f": first, "l": last, "a": f"/media/{person.id}/{first}.png", "p": person.id},
        )
    host = world.person("teacher", learns_at)
    course = world.course(person)["id"]
    live_class(world, person, course)
    offered, paid = world.course(host)["id"], world.course(host, price=5)["id"]
    attended = live_class(world, host, offered)
    world.c.db.system_sync(lambda session: tenants.join(session, learns_at, person.id))
    there = replace(person, tenant_id=learns_at)
    assert (await world.of(person).post(f"/api/v1/courses/{offered}/enroll/")).status == 201
    await payment(world, person, paid)
    world.c.db.run_sync(
        there.principal.needing(ANY_PERSON), live.join, attended, uuid7(), about=About("live_class", attended)
    )
    world.c.db.run_sync(
        host.principal.needing(ANY_PERSON), _tell, class_channel(attended), person.id, f"{first} {last}"
    )
    world.notification(person)
    Talk(world, person, course).answered(f"Does {first} know?", "Nobody else.")
    cv = f"cv-of-{first}.txt"
    own_file = await kept(world, person, name=cv, title=cv, description=f"By {first}")
    course_file = await kept(
        world, person, category="course-materials", course_id=course, access_level="enrolled", title="Knots"
    )
    colleague = world.person("teacher", teaches_at)
    lent = await kept(world, colleague)
    marks = {
        "bio": f"Raised by wolves near Quillford {number}",
        "phone": f"+49 30 5550 {number:04}",
        "ip": f"203.0.113.{number}",
        "agent": f"QuillBrowser/7.{number:04}",
    }
    with owner.begin() as connection:
        values = {"p": person.id, "t": teaches_at, "learns": learns_at, "email": person.email, "file": own_file}
        values["totp"] = world.c.vault.seal(b"JBSWY3DPEHPK3PXP", factors.context_of(person.id))
        everything_of(world, connection, values | marks | {"first": first, "last": last, "cv": cv, "course": course})
        share = """INSERT INTO file_shares (id, tenant_id, file_id, person_id, shared_by, created_at)
                   VALUES (:o, :t, :lent, :p, :by, now())"""
        connection.execute(
            text(share), {"o": uuid7(), "t": teaches_at, "lent": lent, "p": person.id, "by": colleague.id}
        )
    owner.dispose()
    told = (person.email, first, last, *marks.values())
    return Life(person, teaches_at, learns_at, told, own_file, course_file, course, attended)


def _tell(session: Session, who: Principal, channel: str, person_id: UUID, name: str) -> None:
    channels.append(session, channel, "participant_joined", {"user_id": str(person_id), "user_name": name}, who.tenant)


def tables(connection: Connection) -> list[str]:
    """Every table with rows of its own: partitions, and not what they are partitions of."""
    query = """SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
                  AND relname <> 'alembic_version' ORDER BY 1"""
    return list(connection.execute(text(query)).scalars())


def holding(connection: Connection, *words: str) -> dict[str, set[str]]:
    """The rows that hold one of these words anywhere, as JSON, by table."""
    found: dict[str, set[str]] = {}
    for name in tables(connection):
        told = f'SELECT to_jsonb(t)::text FROM "{name}" t WHERE lower(to_jsonb(t)::text) LIKE ANY(:words)'
        wanted = [f"%{word.lower()}%" for word in words]
        rows = set(connection.execute(text(told), {"words": wanted}).scalars())
        if rows:
            found[name] = rows
    return found


def empty_handed(connection: Connection, person_id: UUID) -> list[str]:
    """The declared tables that hold no row of a person, by a column that refers to them."""
    missing = []
    for name, one in declared().items():
        columns = [column for column in one.person if column.endswith("_id") or column in ("id", "accepted_by")]
        counted = " OR ".join(f'"{column}" = :p' for column in columns)
        if (
            counted
            and not connection.execute(
                text(f'SELECT count(*) FROM "{name}" WHERE {counted}'), {"p": person_id}
            ).scalar()
        ):
            missing.append(name)
    return missing
