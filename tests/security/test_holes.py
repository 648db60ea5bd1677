"""Named holes: what others have been broken by, tried here one by one."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from edurise.adapters.provision import DatabaseUrls
from tests.harness.world import PASSWORD, World
from tests.harness.worlds import another

API = "/api/v1"
AUTH = f"{API}/accounts/auth"
DIALOG = f"{API}/payments/"
START = f"{API}/payments/create_course_payment/"
PAN = "4242424242424242"


class Ears:
    """Everything that is written to a log while a test runs."""

    def __init__(self, world: World, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
        self._world, self._caplog, self._capfd = world, caplog, capfd
        self._from = len(world.log.getvalue())

    def heard(self, structured: list[Any]) -> str:
        self._world.observer.flush()
        out = self._capfd.readouterr()
        lines = self._world.log.getvalue()[self._from :]
        return "\n".join([lines, self._caplog.text, out.out, out.err, json.dumps(structured, default=repr)])


@pytest.fixture
def ears(world: World, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Ears:
    caplog.set_level("DEBUG")
    return Ears(world, caplog, capfd)


def stored(world: World, needle: str) -> list[str]:
    """The tables whose rows hold a text anywhere."""

    def search(session: Session) -> list[str]:
        tables = session.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")).all()
        return [
            name
            for name in tables
            if "_p2" not in name and not name.endswith("_default") and _holds(session, name, needle)
        ]

    found: list[str] = world.c.db.system_sync(search)
    return found


def _holds(session: Session, table: str, needle: str) -> bool:
    question = text(f'SELECT EXISTS (SELECT FROM "{table}" t WHERE strpos(t::text, :needle) > 0)')
    return bool(session.scalar(question, {"needle": needle}))


# -- card data ---------------------------------------------------------------------------------------------------------

CARDS: list[dict[str, Any]] = [
    {"cardNumber": PAN, "expiryDate": "12/30", "cvc": "987", "cardholderName": "Ada Byron"},
    {"cardnumber": PAN},
    {"CARDNUMBER": PAN},
    {"card_number": PAN},
    {"card-number": PAN},
    {"Card Number": PAN},
    {"card": {"number": PAN}},
    {"payment": [{"method": {"details": {"CVC": "987"}}}]},
    {"a": [[[{"cardHolderName": "Ada Byron"}]]]},
    {"expiry_date": "12/30"},
    {"cvv2": "987"},
    {"securityCode": 987},
    {"cvc": None},
]


@pytest.mark.gen_test
async def test_raw_card_data_is_refused_in_every_nesting_and_never_logged_or_stored(world: World, ears: Ears) -> None:
    person = world.of(world.person())
    with structlog.testing.capture_logs() as structured:
        for card in CARDS:
            refused = await person.post(DIALOG, {"course": str(uuid4()), "payment_method": "stripe"} | card)
            assert (refused.status, refused.code) == (400, "CARD_DATA_REFUSED"), card
            assert PAN not in refused.content.decode()
            assert "Byron" not in refused.content.decode()
        course = world.course(world.person("teacher", world.organization()), price=Decimal(25))
        smuggled = {"course_id": str(course["id"]), "amount": {"cardNumber": PAN}, "currency": [PAN]}
        started = await person.post(START, smuggled)
        assert started.status == 201, "ignored keys hold whatever an old client puts there"
        assert (await person.post(START, smuggled | {"cardNumber": PAN})).status == 400
        await person.post(f"{API}/payments/{started.data['payment_id']}/confirm_payment/", {"cvc": "987"})
        await person.get(f"{API}/courses/?search={PAN}")
        heard = ears.heard(structured)
    assert PAN not in heard
    assert "Byron" not in heard
    assert stored(world, PAN) == []


@pytest.mark.gen_test
async def test_the_price_is_the_server_s(world: World) -> None:
    course = world.course(world.person("teacher", world.organization()), price=Decimal("49.90"))
    person = world.of(world.person())
    body = {"course_id": str(course["id"]), "amount": 0.01, "currency": "JPY"}
    answer = await person.post(START, body)
    assert (answer.data["amount"], answer.data["currency"]) == (49.9, "USD")


# -- what is asked for and not given
# ---------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_nobody_assigns_what_the_server_decides(world: World) -> None:
    school = world.organization()
    teacher = world.person("teacher", school)
    course = world.course(teacher)
    module = world.module(teacher, course["id"])
    client = world.of(teacher)
    form = {
        "email": f"{uuid4()}@example.org",
        "password": PASSWORD,
        "password_confirm": PASSWORD,
        "first_name": "A",
        "last_name": "B",
    }
    calls: list[tuple[str, str, dict[str, Any], tuple[str, ...]]] = [
        (
            "POST",
            f"{AUTH}/register/",
            form,
            ("is_superuser", "is_staff", "role", "tenant_id", "id", "is_platform_admin", "is_active"),
        ),
        ("POST", f"{AUTH}/login/", {"email": teacher.email, "password": PASSWORD}, ("role", "tenant_id")),
        (
            "POST",
            f"{API}/courses/",
            {"title": "x", "category": "technology"},
            (
                "tenant_id",
                "instructor",
                "instructor_id",
                "id",
                "price_minor",
                "total_enrollments",
                "average_rating",
                "created_at",
            ),
        ),
        (
            "PATCH",
            f"{API}/courses/{course['id']}/",
            {},
            ("tenant_id", "instructor", "organization", "currency", "rating_sum"),
        ),
        ("POST", f"{API}/course-modules/", {"course": str(course["id"]), "title": "x"}, ("tenant_id", "id")),
        (
            "POST",
            f"{API}/course-lessons/",
            {"module": str(module["id"]), "title": "x"},
            ("tenant_id", "course", "completed"),
        ),
        ("POST", f"{API}/courses/{course['id']}/enroll/", {}, ("student", "status", "progress_percentage")),
        ("POST", START, {"course_id": str(course["id"])}, ("price", "user", "status", "gateway", "amount_minor")),
        ("POST", f"{API}/users/switch_tenant/", {"tenant_id": str(school)}, ("role", "user_id")),
    ]
    for method, path, good, forbidden in calls:
        for name in forbidden:
            refused = await client.call(method, path, good | {name: "x"})
            assert (refused.status, refused.code) == (400, "VALIDATION_ERROR"), f"{path}: {name}"
            assert list(refused.body["errors"]) == [name]


@pytest.mark.gen_test
async def test_headers_do_not_make_somebody_else(world: World, database: DatabaseUrls) -> None:
    spoofed = {
        "X_Forwarded_For": "10.9.9.9",
        "X_Real_IP": "10.9.9.9",
        "X_Forwarded_Host": "evil.example",
        "X_User_ID": "1",
        "X_HTTP_Method_Override": "DELETE",
        "X_Original_URL": "/metrics",
        "Forwarded": "for=10.9.9.9;host=evil.example",
    }
    before = len(world.log.getvalue())
    answer = await world.anonymous.get(f"{API}/courses/?page=1&page_size=1", **spoofed)
    world.observer.flush()
    lines = [json.loads(line) for line in world.log.getvalue()[before:].splitlines()]
    assert {line["ip"] for line in lines} == {"127.0.0.1"}
    assert "evil.example" not in answer.content.decode()
    async with another(world, database, trusted_proxies=("127.0.0.1",)) as behind:
        await behind.anonymous.get("/healthz", X_Forwarded_For="6.6.6.6, 203.0.113.7, 127.0.0.1")
        behind.observer.flush()
        assert '"ip":"203.0.113.7"' in behind.log.getvalue(), "the last address that is no proxy of ours, not the first"
    async with another(world, database, public_url="https://edurise.example") as public:
        teacher = public.person("teacher", public.organization())
        for _ in range(2):
            public.course(teacher)
        listed = await public.anonymous.get(
            f"{API}/courses/?page=1&page_size=1&instructor={teacher.id}", Host="evil.example"
        )
        assert listed.data["next"].startswith("https://edurise.example/api/v1/courses/?")


@pytest.mark.gen_test
async def test_a_host_does_not_poison_what_others_are_served(world: World, database: DatabaseUrls) -> None:
    async with another(world, database, cache_s=30.0) as cached:
        teacher = cached.person("teacher", cached.organization())
        for _ in range(2):
            cached.course(teacher)
        path = f"{API}/courses/?page=1&page_size=1&instructor={teacher.id}"
        poisoned = await cached.anonymous.get(path, Host="evil.example")
        assert "evil.example" in poisoned.data["next"], "one's own mirror image"
        served = await cached.anonymous.get(path)
        assert served.data["next"].startswith(cached.base_url)


# -- logs --------------------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_no_line_can_be_written_into_the_log(world: World) -> None:
    world.observer.flush()
    before = len(world.log.getvalue())
    tries = ('x"}\\n{"event":"forged"', "x" * 65, "")
    for value in tries:
        answer = await world.anonymous.get("/healthz", X_Request_ID=value)
        assert len(answer.headers["X-Request-ID"]) <= 64
    await world.anonymous.get("/%0a%7b%22event%22:%22forged%22%7d")
    await world.anonymous.get(f"{API}/courses/?search=%0A%7B%22event%22%3A%22forged%22%7D&token=secret-in-the-query")
    await world.anonymous.get("/healthz", User_Agent='{"event":"forged"}')
    world.observer.flush()
    lines = world.log.getvalue()[before:].splitlines()
    assert len(lines) == len(tries) + 3
    assert {json.loads(line)["event"] for line in lines} == {"request"}
    assert "secret-in-the-query" not in "".join(lines)


@pytest.mark.gen_test
async def test_secrets_are_never_logged_or_stored(world: World, ears: Ears) -> None:
    secret = f"hunter2-{uuid4()}"
    form = {
        "email": f"{uuid4()}@example.org",
        "password": secret,
        "password_confirm": secret,
        "first_name": "A",
        "last_name": "B",
    }
    with structlog.testing.capture_logs() as structured:
        made = await world.anonymous.post(f"{AUTH}/register/", form)
        await world.anonymous.post(f"{AUTH}/register/", form | {"password_confirm": secret + "x"})
        await world.anonymous.post(f"{AUTH}/register/", form)
        await world.anonymous.post(f"{AUTH}/login/", {"email": form["email"], "password": secret})
        await world.anonymous.post(
            f"{AUTH}/login/", {"email": form["email"], "password": secret + "x", "passwort": secret}
        )
        await world.anonymous.call("POST", f"{AUTH}/login/", raw=f'{{"password": "{secret}"'.encode())
        await world.anonymous.as_(made.data["access"]).get(f"{API}/users/me/")
        await world.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": made.data["refresh"]})
        heard = ears.heard(structured)
    for hidden in (secret, made.data["access"], made.data["refresh"]):
        assert hidden not in heard
        assert stored(world, hidden) == [], "a hash is kept, never the secret"


@pytest.mark.gen_test
async def test_a_refusal_never_repeats_a_password(world: World) -> None:
    secret = f"hunter2-{uuid4()}"
    for body in (
        {"email": "x@example.org", "password": [secret]},
        {"email": secret, "password": secret * 9},
        {secret: 1},
    ):
        refused = await world.anonymous.post(f"{AUTH}/login/", body)
        assert refused.status == 400
        # The name of an unknown key is told, for it is what must be mended; values never are.
        assert (secret in refused.content.decode()) is (secret in body)


# -- stored markup
# -------------------------------------------------------------------------------------------------------

EVIL = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href=' java\tscript:alert(1)'>x</a>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<svg><script>alert(1)</script></svg>",
    "<math><mi//xlink:href='data:x,<script>alert(4)</script>'>",
    "<style>@import 'https://evil.example'</style>",
    "<form action=https://evil.example><input name=p></form>",
    "<object data=x></object><embed src=x><base href=//evil.example>",
    "<p style='background:url(javascript:alert(1))' onclick=alert(1)>x</p>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
]


@pytest.mark.gen_test
async def test_lessons_and_modules_hold_no_script(world: World) -> None:
    teacher = world.person("teacher", world.organization())
    course = world.course(teacher)
    module = world.module(teacher, course["id"])
    client = world.of(teacher)
    for evil in EVIL:
        content = f"<p>Good <b>text</b></p>{evil}"
        lesson = await client.post(
            f"{API}/course-lessons/", {"module": str(module["id"]), "title": "x", "content": content}
        )
        chapter = await client.post(
            f"{API}/course-modules/", {"course": str(course["id"]), "title": "x", "content": content}
        )
        again = await client.get(f"{API}/course-lessons/{lesson.data['id']}/")
        for kept in (lesson.data["content"], chapter.data["content"], again.data["content"]):
            low = kept.lower()
            assert kept.startswith("<p>Good <b>text</b></p>")
            for word in (
                "<script",
                "onerror=",
                "onclick=",
                "javascript:",
                "<iframe",
                "<style",
                "<form",
                "<object",
                "<embed",
                "<base",
            ):
                assert word not in low.replace("&lt;", "<!"), f"{evil}: {kept}"
    for link in (
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "https://user:pw@evil.example",
        "file:///etc/passwd",
    ):
        refused = await client.post(
            f"{API}/course-lessons/", {"module": str(module["id"]), "title": "x", "video_url": link}
        )
        assert refused.status == 400, link


@pytest.mark.gen_test
async def test_answers_cannot_be_taken_for_pages(world: World) -> None:
    for path in ("/healthz", f"{API}/courses/", "/nothing", f"{API}/openapi.json", "/docs"):
        answer = await world.anonymous.get(path)
        assert answer.headers["X-Content-Type-Options"] == "nosniff", path
        assert "Server" not in answer.headers, path
        if path != "/docs":
            assert answer.headers["Content-Type"].startswith("application/json"), path
    page = await world.anonymous.get("/docs")
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]


# -- guessing and repeating
# ------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_log_in_hashes_whether_or_not_the_address_is_known(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[bool] = []
    verify = world.c.hasher._hasher.verify

    class Counting:
        def verify(self, encoded: str, password: str) -> bool:
            hashed.append(encoded.startswith("$argon2id$"))
            return bool(verify(encoded, password))

    person = world.person()
    monkeypatch.setattr(world.c.hasher, "_hasher", Counting())
    answers = [
        await world.anonymous.post(f"{AUTH}/login/", {"email": email, "password": "wrong password"})
        for email in (person.email, f"{uuid4()}@example.org")
    ]
    assert hashed == [True, True]
    assert {(one.status, one.code, one.body["message"]) for one in answers} == {
        (400, "INVALID_CREDENTIALS", answers[0].body["message"])
    }


@pytest.mark.gen_test
async def test_an_idempotency_key_is_one_person_s_and_one_body_s(world: World) -> None:
    school = world.organization()
    one, two = world.person("teacher", school), world.person("teacher", school)
    key = {"Idempotency_Key": f"key-{uuid4()}"}
    form = {"title": "Knots", "category": "technology"}
    first = await world.of(one).post(f"{API}/courses/", form, **key)
    again = await world.of(one).post(f"{API}/courses/", form, **key)
    assert (first.status, again.status, again.data) == (201, 200, first.data)
    other = await world.of(one).post(f"{API}/courses/", form | {"title": "Ropes"}, **key)
    assert (other.status, other.code) == (409, "IDEMPOTENCY_KEY_REUSED")
    theirs = await world.of(two).post(f"{API}/courses/", form, **key)
    assert theirs.status == 201
    assert theirs.data["id"] != first.data["id"]
    for bad in ("", "x" * 201, "ü"):
        refused = await world.of(one).post(f"{API}/courses/", form, Idempotency_Key=bad)
        assert refused.status == 400, bad


@pytest.mark.gen_test
async def test_an_idempotency_key_of_a_payment_is_for_one_purchase(world: World) -> None:
    teacher = world.person("teacher", world.organization())
    knots, ropes = (world.course(teacher, price=Decimal(price)) for price in (10, 20))
    person, somebody = world.of(world.person()), world.of(world.person())
    key = {"Idempotency_Key": f"key-{uuid4()}"}
    first = await person.post(START, {"course_id": str(knots["id"])}, **key)
    again = await person.post(START, {"course_id": str(knots["id"]), "amount": 3}, **key)
    assert again.data == first.data
    other = await person.post(START, {"course_id": str(ropes["id"])}, **key)
    assert (other.status, other.code) == (409, "IDEMPOTENCY_KEY_REUSED")
    theirs = await somebody.post(START, {"course_id": str(ropes["id"])}, **key)
    assert theirs.status == 201


@pytest.mark.gen_test
async def test_the_same_post_many_times_at_once_makes_one(world: World) -> None:
    teacher = world.person("teacher", world.organization())
    key = {"Idempotency_Key": f"key-{uuid4()}"}
    form = {"title": "Knots", "category": "technology"}
    made = await asyncio.gather(*(world.of(teacher).post(f"{API}/courses/", form, **key) for _ in range(6)))
    assert sorted(one.status for one in made) == [200] * 5 + [201]
    assert len({one.data["id"] for one in made}) == 1
    address = f"{uuid4()}@example.org"
    account = {
        "email": address,
        "password": PASSWORD,
        "password_confirm": PASSWORD,
        "first_name": "A",
        "last_name": "B",
    }
    answers = await asyncio.gather(*(world.anonymous.post(f"{AUTH}/register/", account) for _ in range(5)))
    assert sorted(one.status for one in answers) == [201, 409, 409, 409, 409]


@pytest.mark.gen_test
async def test_an_address_differs_by_more_than_its_case(world: World) -> None:
    name = f"ÄRGER-{uuid4()}"
    account = {"password": PASSWORD, "password_confirm": PASSWORD, "first_name": "A", "last_name": "B"}
    assert (await world.anonymous.post(f"{AUTH}/register/", account | {"email": f"{name}@example.org"})).status == 201
    taken = await world.anonymous.post(f"{AUTH}/register/", account | {"email": f"{name}@EXAMPLE.org"})
    assert taken.code == "EMAIL_TAKEN"
    same = await world.anonymous.post(f"{AUTH}/login/", {"email": f"{name}@example.org", "password": PASSWORD})
    assert same.status == 200, "whoever registered an address can log in with it"
    assert UUID(same.data["user"]["id"])
