"""Every rule holds in the project, and every rule catches a planted violation."""

from __future__ import annotations

import pytest

from tests.architecture import rules
from tests.architecture.rules import EVERYTHING, PRODUCT, ROOT, Rule, Source

# Every place that acts as the system role, which sees across tenants. A new one is a decision: say here how many.
SYSTEM_CALLS: dict[str, int] = {
    "actors/account_mails.py": 4,
    "actors/channels.py": 1,
    "actors/console.py": 3,
    "actors/courses.py": 1,
    "actors/deadletters.py": 3,
    "actors/files.py": 3,
    "actors/identity.py": 5,
    "actors/invitations.py": 1,
    "actors/jobs.py": 3,
    "actors/live.py": 1,
    "actors/privacy.py": 7,
    "actors/relay.py": 4,
    "actors/runtime.py": 4,
    "actors/schedule.py": 4,
    "actors/storekeeping.py": 1,
    "actors/tutor.py": 4,
    "edurise/adapters/readiness.py": 1,
    "edurise/analytics/flows/organizations.py": 4,
    "edurise/files/flows/applications.py": 1,
    "edurise/files/flows/cleaning.py": 4,
    "edurise/files/flows/moving.py": 2,
    "edurise/files/flows/verifying.py": 2,
    "edurise/identity/flows/accounts.py": 3,
    "edurise/identity/flows/addresses.py": 5,
    "edurise/identity/flows/devices.py": 3,
    "edurise/identity/flows/elsewhere.py": 3,
    "edurise/identity/flows/factors.py": 12,
    "edurise/identity/flows/invitations.py": 4,
    "edurise/identity/flows/oidc.py": 4,
    "edurise/identity/flows/passwords.py": 5,
    "edurise/identity/flows/people.py": 2,
    "edurise/identity/flows/providers.py": 1,
    "edurise/identity/flows/resealing.py": 1,
    "edurise/identity/flows/sessions.py": 5,
    "edurise/identity/watch.py": 2,
    "edurise/payments/flows.py": 2,
    "edurise/privacy/flows/deleting.py": 2,
    "edurise/privacy/flows/exporting.py": 1,
    "edurise/tenants/directory.py": 1,
    "handlers/observing.py": 1,
    "handlers/ws/base.py": 1,
    "handlers/ws/places.py": 1,
    "handlers/ws/register.py": 1,
    "handlers/ws/stores.py": 2,
}

SCOPES: dict[Rule, tuple[str, ...]] = {
    rules.one_commit: (*PRODUCT, "alembic", "benchmarks"),
    rules.one_environment: (*PRODUCT, "alembic"),
    rules.one_clock: (*PRODUCT, "benchmarks"),
    rules.own_fields: PRODUCT,
    rules.one_writer: PRODUCT,
    rules.sizes: EVERYTHING,
    rules.named_for_content: EVERYTHING,
    rules.root_is_on_top: ("edurise", "handlers", "actors", "schemas", "alembic"),
    rules.reasons: EVERYTHING,
}

PLANTED: list[tuple[Rule, str, str]] = [
    (rules.one_commit, "edurise/payments/service.py", "def f(session):\n    session.commit()\n"),
    (rules.one_commit, "handlers/payments.py", "async def f(self):\n    self.c.db.session.rollback()\n"),
    (rules.one_environment, "edurise/db.py", "import os\nurl = os.environ['DATABASE_URL']\n"),
    (rules.one_environment, "edurise/db.py", "from os import environ as e\nurl = e['DATABASE_URL']\n"),
    (rules.one_environment, "run.py", "import os as system\nport = system.getenv('PORT')\n"),
    (rules.one_environment, "actors/relay.py", "from environs import Env\nenv = Env()\n"),
    (rules.one_clock, "edurise/outbox.py", "from datetime import UTC, datetime\nat = datetime.now(UTC)\n"),
    (rules.one_clock, "edurise/outbox.py", "import datetime as dt\nat = dt.datetime.now(dt.UTC)\n"),
    (rules.one_clock, "edurise/outbox.py", "from time import time\nat = time()\n"),
    (rules.one_clock, "edurise/outbox.py", "import time\nfactory = time.time_ns\n"),
    (rules.own_fields, "schemas/payments.py", "from marshmallow import fields\nx = fields.Integer(strict=True)\n"),
    (rules.own_fields, "schemas/payments.py", "import marshmallow as ma\nx = ma.fields.Str()\n"),
    (rules.own_fields, "schemas/payments.py", "from marshmallow.fields import Boolean as B\nx = B()\n"),
    (rules.one_writer, "handlers/ws/hub.py", "def f(socket):\n    socket.write_message('x')\n"),
    (rules.sizes, "edurise/payments/service.py", "x = 1\n" * 401),
    (rules.sizes, "tests/unit/test_money.py", "x = 1\n" * 601),
    (rules.sizes, "edurise/payments/service.py", "def f():\n" + "    x = 1\n" * 60),
    (rules.sizes, "edurise/payments/flows.py", "async def f():\n" + "    x = 1\n" * 60),
    (rules.sizes, "edurise/payments/models.py", "class A:\n" + "    x = 1\n" * 250),
    (rules.sizes, "handlers/base.py", "class RestHandler:\n" + "    x = 1\n" * 200),
    (rules.named_for_content, "edurise/payments/utils.py", ""),
    (rules.named_for_content, "handlers/common/json.py", ""),
    (rules.root_is_on_top, "edurise/container.py", "from run import main\n"),
    (rules.reasons, "edurise/db.py", "x = 1  # noqa\n"),
    (rules.reasons, "edurise/db.py", "x = 1  # noqa: S105\n"),
    (rules.reasons, "edurise/db.py", "x: int = y()  # type: ignore\n"),
    (rules.reasons, "edurise/db.py", "x: int = y()  # type: ignore[arg-type]\n"),
]

ALLOWED: list[tuple[Rule, str, str]] = [
    (rules.one_commit, "edurise/db.py", "def f(session):\n    session.commit()\n"),
    (rules.one_environment, "edurise/config.py", "import os\nx = os.environ\n"),
    (rules.one_environment, "edurise/db.py", "import os\nx = os.cpu_count()\n"),
    (rules.one_clock, "edurise/adapters/clock.py", "import time\nx = time.time()\n"),
    (rules.one_clock, "edurise/db.py", "import time\nx = time.monotonic()\ny = clock.now()\n"),
    (rules.own_fields, "schemas/fields.py", "from marshmallow import fields\nclass Int(fields.Field[int]): pass\n"),
    (rules.own_fields, "schemas/payments.py", "from schemas.base import Int\nfields = Int()\n"),
    (rules.one_writer, "handlers/ws/wire.py", "def f(socket):\n    socket.write_message('x')\n"),
    (rules.sizes, "edurise/payments/service.py", "def f():\n" + "    x = 1\n" * 59),
    (rules.reasons, "edurise/db.py", "x = 1  # noqa: S105 - no password but its name\n"),
    (rules.reasons, "edurise/db.py", "x: int = y()  # type: ignore[arg-type]  # y is untyped upstream\n"),
]


def name(value: object) -> str | None:
    return getattr(value, "__name__", None)


@pytest.mark.parametrize(("rule", "scope"), SCOPES.items(), ids=name)
def test_rule_holds_in_the_project(rule: Rule, scope: tuple[str, ...]) -> None:
    assert [fault for source in rules.sources(*scope) for fault in rule(source)] == []


@pytest.mark.parametrize(("rule", "path", "text"), PLANTED)
def test_rule_catches_a_planted_violation(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(path, text)))


@pytest.mark.parametrize(("rule", "path", "text"), ALLOWED)
def test_rule_lets_pass_what_is_allowed(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(path, text))) == []


def test_every_rule_has_a_planted_violation() -> None:
    assert {rule for rule, _, _ in PLANTED} == set(SCOPES)


def test_the_system_role_is_used_where_it_was_decided() -> None:
    assert rules.system_calls(rules.sources(*PRODUCT)) == SYSTEM_CALLS


def test_calls_of_the_system_role_are_counted() -> None:
    text = "import os\nasync def f(c):\n    await c.db.system(g)\n    self.db.system(h)\n    os.system('x')\n"
    assert rules.system_calls([Source("edurise/x.py", text), Source("edurise/y.py", "x = urls.system\n")]) == {
        "edurise/x.py": 2
    }


def test_alembic_is_no_package_of_ours() -> None:
    assert not list((ROOT / "alembic").rglob("__init__.py"))  # with one, `from alembic import command` breaks
