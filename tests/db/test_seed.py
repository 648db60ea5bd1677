"""The generated schools: always the same, written once, and true in every way that the services keep true."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import nh3
import pytest
from sqlalchemy import Connection, Engine, NullPool, create_engine, text

from edurise.adapters.migrations import migrate
from edurise.platform import bulk
from edurise.platform.school import DEMO_PEOPLE, SchoolInUse, demo, seed_bulk, seed_demo
from edurise.platform.sheets import COLUMNS
from edurise.platform.words import TOPICS
from tests.harness.machine import own_database

SCALE = "0.1x"
VIOLATIONS = {
    "an enrollment has a standing": """
        SELECT e.id FROM enrollments e LEFT JOIN standings s
            ON (s.tenant_id, s.course_id, s.person_id) = (e.tenant_id, e.course_id, e.person_id) AND s.kind = 'learner'
         WHERE s.person_id IS NULL""",
    "a learner's standing has an enrollment": """
        SELECT s.person_id FROM standings s LEFT JOIN enrollments e
            ON (s.tenant_id, s.course_id, s.person_id) = (e.tenant_id, e.course_id, e.person_id)
         WHERE s.kind = 'learner' AND e.id IS NULL""",
    "an enrollment has a membership": """
        SELECT e.id FROM enrollments e
          LEFT JOIN memberships m ON (m.tenant_id, m.person_id) = (e.tenant_id, e.person_id)
         WHERE m.id IS NULL""",
    "an instructor stands as staff and is a teacher": """
        SELECT c.id FROM courses c
          LEFT JOIN standings s ON s.course_id = c.id AND s.person_id = c.instructor_id AND s.kind = 'staff'
          LEFT JOIN memberships m ON (m.tenant_id, m.person_id, m.role) = (c.tenant_id, c.instructor_id, 'teacher')
         WHERE s.course_id IS NULL OR m.id IS NULL""",
    "the catalogue is the published courses": """
        SELECT 1 FROM (SELECT id, total_enrollments FROM courses WHERE status = 'published') c
          FULL JOIN catalogue k ON k.course_id = c.id AND k.total_enrollments = c.total_enrollments
         WHERE c.id IS NULL OR k.course_id IS NULL""",
    "the counter counts the learners": """
        SELECT c.id FROM courses c
         WHERE total_enrollments <> (SELECT count(*) FROM enrollments e WHERE e.course_id = c.id)""",
    "what is paid is granted and taken": """
        SELECT p.id FROM payments p
          LEFT JOIN entitlements g ON g.source_id = p.id
          LEFT JOIN enrollments e
            ON (e.tenant_id, e.course_id, e.person_id) = (p.tenant_id, p.course_id, p.learner_id)
         WHERE (p.status = 'completed') <> (g.id IS NOT NULL) OR p.status = 'completed' AND e.id IS NULL""",
    "a place in a paid course was paid for": """
        SELECT e.id FROM enrollments e
          JOIN courses c ON c.id = e.course_id
          LEFT JOIN entitlements g ON (g.course_id, g.person_id) = (e.course_id, e.person_id)
         WHERE c.price_minor > 0 AND g.id IS NULL""",
    "a payment is of the course's price": """
        SELECT p.id FROM payments p JOIN courses c ON c.id = p.course_id
         WHERE p.amount_minor <> c.price_minor OR c.price_minor = 0""",
    "an application is decided or pending": """
        SELECT id FROM teacher_applications
         WHERE (status = 'pending') <> (reviewed_at IS NULL AND reviewed_by IS NULL)""",
    "everybody has a password": """
        SELECT id FROM people p WHERE NOT EXISTS (SELECT FROM credentials c WHERE c.person_id = p.id)""",
    "everybody but the platform's administrators belongs somewhere": """
        SELECT id FROM people p
         WHERE NOT is_platform_admin AND NOT EXISTS (SELECT FROM memberships m WHERE m.person_id = p.id)""",
    "nobody can be reached by mail": "SELECT id FROM people WHERE email !~ '[@.]example[.]org$'",
    "a class is taught by its course's instructor": """
        SELECT l.id FROM live_classes l LEFT JOIN courses c
            ON (c.tenant_id, c.id, c.instructor_id) = (l.tenant_id, l.course_id, l.instructor_id)
         WHERE c.id IS NULL""",
    "a class that is over has a row of each learner and counts those who came": """
        SELECT l.id FROM live_classes l
         WHERE l.status = 'completed' AND l.attended_count <> (
               SELECT count(DISTINCT i.person_id) FROM attendance_intervals i
                 JOIN attendance a ON (a.class_id, a.person_id) = (i.class_id, i.person_id)
                WHERE i.class_id = l.id AND a.first_joined_at = i.joined_at)
            OR l.status = 'completed' AND EXISTS (
               SELECT FROM standings s LEFT JOIN attendance a ON (a.class_id, a.person_id) = (l.id, s.person_id)
                WHERE s.course_id = l.course_id AND s.kind = 'learner' AND a.id IS NULL)""",
    "nothing waits for an actor": "SELECT id FROM outbox",
}
"""What must be true, and the question that finds where it is not."""
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def sealed(password: str) -> str:
    return f"sealed:{password}"


@pytest.fixture(scope="module")
def owner_url() -> Iterator[str]:
    with own_database("seed") as urls:
        migrate(urls.owner)
        yield urls.owner


@pytest.fixture(scope="module")
def seeded(owner_url: str) -> Iterator[Engine]:
    assert seed_demo(owner_url, sealed) is True
    seed_bulk(owner_url, SCALE, sealed)
    engine = create_engine(owner_url, poolclass=NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def connection(seeded: Engine) -> Iterator[Connection]:
    with seeded.connect() as found:
        yield found


def counts(connection: Connection) -> dict[str, int]:
    return {table: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in COLUMNS}


def test_the_same_rows_every_time() -> None:
    first, second = (list(demo(NOON, sealed).tables()) for _ in range(2))
    assert first == second
    assert bulk.describe(SCALE) == bulk.describe(SCALE)


def test_seeding_again_changes_nothing(connection: Connection, owner_url: str) -> None:
    before = counts(connection)
    assert seed_demo(owner_url, sealed) is False
    assert seed_bulk(owner_url, SCALE, sealed) == bulk.describe(SCALE)
    assert counts(connection) == before


def test_the_description_is_what_was_written(connection: Connection) -> None:
    told = bulk.describe(SCALE)
    size = bulk.SCALES[SCALE]
    assert len(told.published) == size.courses == len(told.free) + len(told.paid)
    assert sum(map(len, told.places.values())) == size.enrollments
    rows = connection.execute(
        text(
            "SELECT person_id, course_id FROM enrollments JOIN people ON people.id = person_id "
            "WHERE email LIKE '%@0.1x.%'"
        )
    )
    written: dict[object, set[object]] = {}
    for person, course in rows:
        written.setdefault(person, set()).add(course)
    assert written == {person: set(courses) for person, courses in told.places.items()}
    assert all(told.free[0] in courses for courses in told.places.values())
    classes = connection.execute(
        text("SELECT id, status, course_id, instructor_id FROM live_classes WHERE id = ANY(:ids)"),
        {"ids": list(told.classes)},
    ).all()
    assert len(classes) == len(told.classes) == size.classes
    assert {one.status for one in classes} == {"scheduled", "completed"}
    assert [tuple(one) for one in classes if one.id == told.crowd] == [
        (told.crowd, "scheduled", told.free[0], told.crowd_teacher.id)
    ]


@pytest.mark.parametrize("truth", VIOLATIONS)
def test_what_the_services_keep_true_is_true(connection: Connection, truth: str) -> None:
    assert connection.execute(text(VIOLATIONS[truth])).fetchall() == []


def test_the_figures_of_the_scale(connection: Connection) -> None:
    size = bulk.SCALES[SCALE]
    tail = f"%@{SCALE}.example.org"
    found = connection.execute(
        text(
            "SELECT count(*), count(*) FILTER (WHERE status = 'completed'), "
            "max(y.created_at) - min(y.created_at) "
            "FROM payments y JOIN people p ON p.id = learner_id WHERE p.email LIKE :tail"
        ),
        {"tail": tail},
    ).one()
    assert (found[0], found[1]) == (size.payments, size.payments * 4 // 5)
    assert 300 < found[2].days <= 335
    notified = connection.execute(
        text(
            "SELECT count(*), count(read_at) FROM notifications n "
            "JOIN people p ON p.id = n.user_id WHERE p.email LIKE :tail"
        ),
        {"tail": tail},
    ).one()
    assert tuple(notified) == (size.notifications, size.notifications // 2)
    lengths = (
        "SELECT min(length(description)), max(length(description)), min(cardinality(tags)) "
        "FROM courses WHERE id = ANY(:ids)"
    )
    published = list(bulk.describe(SCALE).published)
    assert tuple(connection.execute(text(lengths), {"ids": published}).one()) == (500, 500, 3)
    modules = "SELECT count(*), min(length(content)), max(length(content)) FROM modules WHERE course_id = ANY(:ids)"
    assert tuple(connection.execute(text(modules), {"ids": published}).one()) == (10 * size.courses, 1_000, 1_000)


def test_categories_are_those_of_the_migrations(connection: Connection) -> None:
    assert set(connection.execute(text("SELECT slug FROM categories")).scalars()) == set(TOPICS)


def test_lessons_pass_the_sanitizer_unchanged(connection: Connection) -> None:
    for content in connection.execute(
        text("SELECT DISTINCT content FROM lessons UNION SELECT DISTINCT content FROM modules")
    ).scalars():
        assert nh3.clean(content) == content


def test_five_people_can_log_in(connection: Connection) -> None:
    stored = connection.execute(text("SELECT email, password_hash FROM people JOIN credentials ON person_id = id"))
    passwords = {row.email: row.password_hash for row in stored}
    assert len({one.password for one in DEMO_PEOPLE}) == len(DEMO_PEOPLE) == 5
    assert all(passwords[one.email] == sealed(one.password) for one in DEMO_PEOPLE)


def test_real_people_are_not_joined_by_generated_ones() -> None:
    with own_database("seed_refused") as urls:
        migrate(urls.owner)
        engine = create_engine(urls.owner, poolclass=NullPool)
        with engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO people (id, email, first_name, last_name) "
                    "VALUES (gen_random_uuid(), 'head@school.invalid', 'A', 'B')"
                )
            )
        with pytest.raises(SchoolInUse):
            seed_demo(urls.owner, sealed)
        with pytest.raises(SchoolInUse):
            seed_bulk(urls.owner, SCALE, sealed)
        assert seed_demo(urls.owner, sealed, force=True) is True
