"""The registry of personal data against the database: every table is declared, everything is exported, nothing is left
of who is erased, and nobody else loses anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, NullPool, create_engine, text

import edurise.models  # noqa: F401 - what is personal is declared once it is imported
from edurise.adapters.provision import DatabaseUrls
from edurise.identity import leaving
from edurise.personal import Fate, PersonalTable, declare, declared, in_order
from edurise.privacy import erasing, exports
from tests.harness.lives import Life, empty_handed, holding, whole_life
from tests.harness.world import World

# Tables that a column's name makes look personal, and why they are not.
IMPERSONAL: dict[str, str] = {
    "identity_providers": "an organization's provider: names the organization and its client, nobody",
}
# Tables whose rows are found by a row of another table, or by an address.
BY_ANOTHER = {"application_documents", "refresh_tokens", "invitations", "deliveries", "outbox", "quota_usage"}
SUSPECT = """
SELECT DISTINCT c.relname FROM pg_class c
  LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND (
       a.attname LIKE '%person_id' OR a.attname LIKE '%user_id' OR a.attname LIKE '%\\_by' OR a.attname = ANY(
           ARRAY['learner_id', 'instructor_id', 'owner_id', 'email', 'ip', 'user_agent', 'first_name', 'last_name']))
  LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'f' AND k.confrelid = 'people'::regclass
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
   AND (a.attname IS NOT NULL OR k.oid IS NOT NULL)
 ORDER BY 1
"""


@pytest.fixture
def owner(database: DatabaseUrls) -> Iterator[Connection]:
    engine = create_engine(database.owner, poolclass=NullPool)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection
    engine.dispose()


def test_every_table_that_may_hold_personal_data_is_declared(owner: Connection) -> None:
    suspects = set(owner.execute(text(SUSPECT)).scalars())
    assert len(suspects) > 25
    assert suspects - declared().keys() - IMPERSONAL.keys() == set()
    assert not declared().keys() & IMPERSONAL.keys()


def test_every_reference_to_a_person_is_declared(owner: Connection) -> None:
    """Which columns of a declared table refer to a person, and which to somebody who only acted on a row."""
    query = """SELECT k.conrelid::regclass::text, a.attname FROM pg_constraint k
                 JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
                WHERE k.contype = 'f' AND k.confrelid = 'people'::regclass"""
    for table, column in owner.execute(text(query)):
        one = declared()[table]
        assert column in (*one.person, *one.others), f"{table}.{column}"


def test_every_declared_column_exists(owner: Connection) -> None:
    query = text("SELECT attname FROM pg_attribute WHERE attrelid = CAST(:t AS regclass) AND attnum > 0")
    for name, one in declared().items():
        columns = set(owner.execute(query, {"t": name}).scalars())
        assert columns >= {*one.person, *one.others}, name


def test_every_fate_explains_itself() -> None:
    for one in in_order():
        assert one.because or (one.fate is Fate.DELETED and one.export is not None)
    assert [one.table for one in in_order()][-1] == "people"


@pytest.mark.parametrize(
    "wrong",
    [
        {"fate": Fate.KEPT, "because": ""},
        {"fate": Fate.EMPTIED, "because": ""},
        {"fate": Fate.DELETED, "export": None, "because": ""},
        {"fate": Fate.DELETED, "erase": None, "because": "x"},
        {"fate": Fate.KEPT, "because": "x"},
        {"table": "people", "fate": Fate.DELETED},
    ],
)
def test_what_does_not_explain_itself_is_not_declared(wrong: dict[str, Any]) -> None:
    given = {"section": "s", "table": "nowhere", "person": ("p",), "export": lambda *_: [], "erase": lambda *_: 0}
    with pytest.raises(ValueError, match=r"nowhere|people"):
        declare(PersonalTable(**(given | wrong)))
    assert "nowhere" not in declared()


@pytest.fixture(scope="session")
def lives(world: World, database: DatabaseUrls, io_loop: Any) -> tuple[Life, Life]:
    """Two people in the same two organizations."""
    school, other = world.organization(), world.organization()

    async def live() -> tuple[Life, Life]:
        return await whole_life(world, database, school, other), await whole_life(world, database, school, other)

    found: tuple[Life, Life] = io_loop.run_sync(live)
    return found


def exported(world: World, life: Life) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(world.c.db.system_sync(exports.document, life.person.id))
    return document


def test_the_life_of_this_test_has_a_row_in_every_table(owner: Connection, lives: tuple[Life, Life]) -> None:
    missing = set(empty_handed(owner, lives[0].person.id))
    assert missing - BY_ANOTHER == set()


def test_an_export_holds_every_table_and_no_secret(world: World, lives: tuple[Life, Life]) -> None:
    life, other = lives
    document = exported(world, life)
    expected = {(one.section, one.table) for one in in_order() if one.export is not None}
    found = {(section, table) for section, held in document["data"].items() for table in held}
    assert found == expected
    empty = [table for held in document["data"].values() for table, rows in held.items() if not rows]
    assert empty == []
    told = json.dumps(document, ensure_ascii=False)
    for mark in life.marks:
        assert mark in told, mark
    for mark in (*other.marks, str(other.person.id)):
        assert mark not in told, mark
    for secret in ("argon2", "hash-of-a-code", "sealed", "browser-hash", "nonce", life.person.refresh):
        assert secret not in told.replace("unsealed", ""), secret
    columns = {column for held in document["data"].values() for rows in held.values() for row in rows for column in row}
    assert not {name for name in columns if any(word in name for word in ("hash", "token", "secret", "sealed", "key"))}
    assert {one["id"] for one in document["organizations"]} >= {str(life.teaches_at), str(life.learns_at)}
    assert all(one["name"] for one in document["organizations"])
    assert document["generated_at"].endswith("Z")
    assert all(row["at"].endswith("Z") for row in document["data"]["activity"]["activity"])
    assert {one["table"] for one in document["kept"]} >= {"payments", "attendance", "audit_log"}
    assert document["truncated"] == {"rows_per_table": exports.MOST, "tables": []}


def test_an_export_says_where_it_ends(world: World, lives: tuple[Life, Life]) -> None:
    document = json.loads(world.c.db.system_sync(exports.document, lives[0].person.id, 1))
    assert "sessions" not in document["truncated"]["tables"]
    assert "files" in document["truncated"]["tables"]
    assert len(document["data"]["files"]["files"]) == 1


def test_nothing_is_left_and_nobody_else_loses_anything(
    world: World, owner: Connection, lives: tuple[Life, Life]
) -> None:
    """Run last: it erases the first of the two."""
    life, other = lives
    gone, stays = str(life.person.id), str(other.person.id)
    before = {
        table: {row for row in rows if gone not in row and life.marks[1] not in row}
        for table, rows in holding(owner, stays, *other.marks).items()
        if table != "channel_events"
    }
    export_before = exported(world, other)
    payments_before = owner.execute(text("SELECT to_jsonb(p)::text FROM payments p WHERE learner_id = :p"), {"p": gone})
    kept_before = set(payments_before.scalars())
    assert holding(owner, *life.marks)
    assert world.c.db.system_sync(leaving.end_at_once, life.person.email.upper()) == life.person.id
    world.clock.advance(timedelta(seconds=1))

    report = world.c.db.system_sync(erasing.erase, life.person.id, world.c.vault)

    assert {(one.table, one.fate) for one in report} == {(one.table, one.fate) for one in in_order()}
    untouched = {one.table for one in report if one.rows == 0 and one.fate is not Fate.KEPT}
    assert untouched <= {"channel_events"}
    assert holding(owner, *life.marks) == {}
    for one in in_order():
        if one.fate is Fate.DELETED and one.table not in BY_ANOTHER:
            assert one.table in empty_handed(owner, life.person.id)
    after = {
        table: {row for row in rows if gone not in row and life.marks[1] not in row}
        for table, rows in holding(owner, stays, *other.marks).items()
        if table != "channel_events"
    }
    assert after == before
    assert {**exported(world, other), "generated_at": ""} == {**export_before, "generated_at": ""}
    kept = owner.execute(text("SELECT to_jsonb(p)::text FROM payments p WHERE learner_id = :p"), {"p": gone})
    assert set(kept.scalars()) == kept_before
    row = owner.execute(text("SELECT * FROM people WHERE id = :p"), {"p": gone}).mappings().one()
    assert (row["email"], row["first_name"], row["last_name"]) == (f"erased-{gone}@erased.invalid", "Erased", "Person")
    assert (row["is_active"], row["erase_after"], row["erased_at"] is not None) == (False, None, True)
    assert owner.execute(text("SELECT state FROM files WHERE id = :f"), {"f": life.own_file}).scalar() == "erased"
    assert owner.execute(text("SELECT state FROM files WHERE id = :f"), {"f": life.course_file}).scalar() == "ready"
    assert world.c.db.system_sync(erasing.erase, life.person.id, world.c.vault) == []
