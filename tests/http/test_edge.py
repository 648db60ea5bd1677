"""The edge of HTTP: conditional and compressed answers, limits, origins, request ids, the public cache, languages,
pages."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from edurise.adapters.provision import DatabaseUrls
from edurise.courses import service as courses
from handlers import base as handlers_base
from tests.harness.client import Answer, Client
from tests.harness.world import PASSWORD, Someone, World
from tests.harness.worlds import another

API = "/api/v1"
AUTH = f"{API}/accounts/auth"
ORIGIN = "http://localhost:3000"


def counted(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many hops were made since; a hop is a transaction."""
    hops = []
    run = world.c.db.run

    async def counting(*args: Any, **options: Any) -> Any:
        hops.append(args)
        return await run(*args, **options)

    monkeypatch.setattr(world.c.db, "run", counting)
    return lambda: len(hops)


def stocked(world: World, number: int) -> tuple[Someone, str]:
    """A teacher with some published courses, and the list's path that shows these alone."""
    teacher = world.person("teacher", world.organization())
    for _ in range(number):
        world.course(teacher, description="Knots and ropes. " * 20)
    return teacher, f"{API}/courses/?instructor={teacher.id}"


def plain(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gzip.decompress(answer.content))
    return found


# -- conditional, compressed
# ---------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_an_etag_is_of_the_data_and_answers_not_modified(world: World) -> None:
    teacher, path = stocked(world, 1)
    first, second = await world.anonymous.get(path), await world.anonymous.get(path)
    tag = first.headers["ETag"]
    assert tag.startswith('W/"')
    assert second.headers["ETag"] == tag
    for sent in (tag, f'"x", {tag}', "*", tag.removeprefix("W/")):
        same = await world.anonymous.get(path, If_None_Match=sent)
        assert (same.status, same.content, same.headers["ETag"]) == (304, b"", tag), sent
    assert (await world.anonymous.get(path, If_None_Match='"x"')).status == 200
    world.course(teacher)
    assert (await world.anonymous.get(path, If_None_Match=tag)).status == 200
    made = await world.of(teacher).call(
        "POST", f"{API}/courses/", {"title": "x", "category": "technology"}, headers={"If-None-Match": "*"}
    )
    assert made.status == 201, "a condition on what is read does not stop what is written"


@pytest.mark.gen_test
async def test_large_answers_are_compressed_for_who_asks(world: World) -> None:
    _, small = stocked(world, 0)
    _, large = stocked(world, 5)
    zipped = await world.anonymous.get(large, Accept_Encoding="br, gzip")
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in zipped.headers["Vary"]
    assert len(plain(zipped)["data"]) == 5
    assert len(zipped.content) < len((await world.anonymous.get(large)).content) / 3
    for path, accepted in (
        (large, ""),
        (large, "br"),
        (large, "gzip;q=0"),
        (large, "identity, gzip; q=0.0"),
        (small, "gzip"),
    ):
        whole = await world.anonymous.get(path, Accept_Encoding=accepted)
        assert "Content-Encoding" not in whole.headers, f"{path} {accepted}"
        assert json.loads(whole.content)["success"] is True


@pytest.mark.gen_test
async def test_the_document_and_its_page_are_conditional_and_compressed_too(world: World) -> None:
    for path in (f"{API}/openapi.json", "/docs", "/docs/swagger-ui.css"):
        whole = await world.anonymous.get(path)
        zipped = await world.anonymous.get(path, Accept_Encoding="gzip")
        assert gzip.decompress(zipped.content) == whole.content
        assert zipped.headers["ETag"] != whole.headers["ETag"]
        assert (await world.anonymous.get(path, If_None_Match=whole.headers["ETag"])).status == 304


# -- limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_public_reads_are_limited_and_say_how_much_is_left(world: World, database: DatabaseUrls) -> None:
    async with another(world, database, public_reads_per_min=3) as tight:
        path = f"{API}/courses/?page=1&page_size=1"
        left = [await tight.anonymous.get(path) for _ in range(3)]
        assert [one.headers["RateLimit-Remaining"] for one in left] == ["2", "1", "0"]
        assert {one.headers["RateLimit-Limit"] for one in left} == {"3"}
        assert 0 <= int(left[0].headers["RateLimit-Reset"]) <= 60
        refused = await tight.anonymous.get(path, Origin=ORIGIN)
        assert (refused.status, refused.code) == (429, "RATE_LIMIT_EXCEEDED")
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert refused.headers["RateLimit-Remaining"] == "0"
        assert refused.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "Retry-After" in refused.headers["Access-Control-Expose-Headers"]
        assert (await tight.anonymous.get("/healthz")).status == 200, "a probe is never limited"
        assert (await tight.of(tight.person()).get(f"{API}/users/me/")).status == 200, "one's own calls neither"
        assert (await tight.anonymous.get(path, X_Forwarded_For="10.1.1.1")).status == 429, (
            "a header makes no new caller"
        )


@pytest.mark.gen_test
async def test_sensitive_calls_are_limited_over_all_processes(world: World, database: DatabaseUrls) -> None:
    prefix = f"{world.c.settings.redis_prefix}{uuid4()}:"
    tight = {"sensitive_calls_per_min": 4, "redis_prefix": prefix}
    async with another(world, database, **tight) as one, another(world, database, **tight) as two:
        body = {"email": "nobody@example.org", "password": "wrong password"}
        statuses = [
            (await side.anonymous.post(f"{AUTH}/login/", body)).status for side in (one, two, one, two, one, two)
        ]
        assert statuses == [400] * 4 + [429] * 2
        assert (await two.anonymous.post(f"{AUTH}/token/refresh/", {"refresh": "x"})).status == 401, (
            "each call has its own"
        )
        known = one.person()
        refused = await one.anonymous.post(f"{AUTH}/login/", {"email": known.email, "password": PASSWORD})
        assert (refused.status, refused.code) == (429, "RATE_LIMIT_EXCEEDED")


# -- browsers ----------------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_a_browser_of_the_ui_may_and_of_another_site_may_not(world: World) -> None:
    for path in (f"{API}/users/me/", f"{API}/accounts/users/switch_tenant/", f"{API}/courses/{uuid4()}/"):
        preflight = await world.anonymous.call(
            "OPTIONS", path, headers={"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH"}
        )
        assert preflight.status == 204
        allowed = preflight.headers["Access-Control-Allow-Headers"].split(", ")
        assert {"authorization", "content-type", "x-tenant-id", "x-request-id", "idempotency-key"} <= set(allowed)
        methods = preflight.headers["Access-Control-Allow-Methods"].split(", ")
        assert {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} == set(methods)
        assert "Access-Control-Allow-Credentials" not in preflight.headers
    for origin in ("https://evil.example", "null", "http://localhost:3000.evil.example", "http://localhost"):
        answer = await world.anonymous.get(f"{API}/courses/?page=1", Origin=origin)
        assert "Access-Control-Allow-Origin" not in answer.headers, origin
    for status, path in (
        (401, f"{API}/users/me/"),
        (404, "/nothing"),
        (404, f"{API}/courses/{uuid4()}/"),
        (405, f"{API}/payments/"),
    ):
        answer = await world.anonymous.get(path, Origin=ORIGIN)
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (status, ORIGIN), (
            "errors can be read too"
        )
        assert "Origin" in answer.headers["Vary"]


@pytest.mark.gen_test
async def test_a_request_id_is_kept_or_made(world: World) -> None:
    kept = await world.anonymous.get("/healthz", X_Request_ID="req_1700000000000_7")
    assert kept.headers["X-Request-ID"] == "req_1700000000000_7"
    for bad in ("x" * 65, "ü", ""):
        made = await world.anonymous.get("/healthz", X_Request_ID=bad)
        assert len(made.headers["X-Request-ID"]) == 36
    world.observer.flush()
    lines = [json.loads(line) for line in world.log.getvalue().splitlines()]
    assert [line for line in lines if line["request_id"] == "req_1700000000000_7"]


@pytest.mark.gen_test
async def test_an_access_line_says_who_where_and_how_long_and_no_more(world: World) -> None:
    person = world.person()
    await world.of(person).get(f"{API}/accounts/users/me/?token=secret", X_Request_ID="one-line")
    world.observer.flush()
    line = next(one for one in map(json.loads, world.log.getvalue().splitlines()) if one["request_id"] == "one-line")
    assert line.keys() == {
        "at",
        "event",
        "request_id",
        "method",
        "route",
        "status",
        "ms",
        "in",
        "out",
        "person",
        "tenant",
        "ip",
    }
    assert (line["route"], line["person"], line["status"]) == (f"{API}/users/me/", str(person.id), 200)


# -- the public cache
# ----------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_one_request_fills_the_cache_for_all_who_come_together(
    world: World, database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with another(world, database, cache_s=60.0) as cached:
        _, path = stocked(cached, 3)
        hops = counted(cached, monkeypatch)
        answers = await asyncio.gather(*(cached.anonymous.get(path) for _ in range(50)))
        assert hops() == 1
        assert {one.content for one in answers} == {answers[0].content}
        assert (await cached.anonymous.get(path, If_None_Match=answers[0].headers["ETag"])).status == 304
        assert plain(await cached.anonymous.get(path, Accept_Encoding="gzip"))["data"] == answers[0].data
        assert hops() == 1
        await cached.anonymous.get(path, X_Tenant_ID=str(cached.organization()))
        assert hops() == 2, "another organization, another answer"
        await cached.anonymous.get(f"{path}&page=1")
        assert hops() == 3


@pytest.mark.gen_test
async def test_what_a_person_asks_is_never_cached(
    world: World, database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with another(world, database, cache_s=60.0) as cached:
        teacher, path = stocked(cached, 1)
        draft = cached.course(teacher, is_public=False)
        assert len((await cached.anonymous.get(path)).data) == 1
        own = await cached.of(teacher).get(path)
        assert str(draft["id"]) in {row["id"] for row in own.data}
        assert len((await cached.anonymous.get(path)).data) == 1, "and what the person saw is served to nobody"
        hops = counted(cached, monkeypatch)
        for _ in range(2):
            await cached.of(teacher).get(path)
        assert hops() == 2


@pytest.mark.gen_test
async def test_a_refusal_is_not_cached_and_hands_the_turn_on(
    world: World, database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with another(world, database, cache_s=60.0) as cached:
        teacher = cached.person("teacher", cached.organization())
        course = cached.course(teacher, is_public=False)
        path = f"{API}/courses/{course['id']}/"
        hops = counted(cached, monkeypatch)
        answers = await asyncio.gather(*(cached.anonymous.get(path) for _ in range(5)))
        assert [one.status for one in answers] == [404] * 5
        assert hops() == 5
        await cached.of(teacher).patch(path, {"is_public": True})
        assert (await cached.anonymous.get(path)).status == 200


@pytest.mark.gen_test
async def test_an_answer_is_served_for_its_lifetime_and_not_longer(world: World, database: DatabaseUrls) -> None:
    async with another(world, database, cache_s=60.0) as cached:
        teacher, path = stocked(cached, 1)
        assert len((await cached.anonymous.get(path)).data) == 1
        cached.course(teacher)
        assert len((await cached.anonymous.get(path)).data) == 1
        cache = cached.application.edge.cache
        cache._kept = type(cache._kept)((key, (0.0, kept)) for key, (_, kept) in cache._kept.items())
        assert len((await cached.anonymous.get(path)).data) == 2
        assert cache._bytes > 0
        for key in list(cache._kept):
            cache._drop(key)
        assert cache._bytes == 0


@pytest.mark.gen_test
async def test_a_filler_that_leaves_hands_its_turn_on(
    world: World, database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with another(world, database, cache_s=60.0) as cached:
        cache = cached.application.edge.cache
        assert await cache.answer_or_turn(("x", None)) is None
        waiting = asyncio.ensure_future(cache.answer_or_turn(("x", None)))
        await asyncio.sleep(0)
        cache.release(("x", None))
        assert await waiting is None, "the next in line fills"
        cache.release(("x", None))


# -- languages and pages
# ---------------------------------------------------------------------------------------------------


@pytest.mark.gen_test
async def test_an_error_speaks_the_reader_s_language(world: World) -> None:
    async def told(language: str) -> tuple[str, str]:
        headers = {"Accept_Language": language} if language else {}
        body = (await world.anonymous.post(f"{AUTH}/login/", {"email": "x", "password": "y"}, **headers)).body
        return body["message"], body["errors"]["email"][0]

    english, german, arabic = await told("en"), await told("de"), await told("ar")
    assert len({english, german, arabic}) == 3
    assert any("\u0600" <= letter <= "\u06ff" for letter in arabic[0])
    for header, expected in (
        ("", english), ("*", english), ("xx", english), ("de-AT, en;q=0.5", german), ("en;q=0.1, ar;q=0.9", arabic),
        ("fr, de;q=0", english), (";;q=,,=", english), ("de;q=x", english), ("x" * 5000, english), ("DE", german),
    ):  # fmt: skip
        assert await told(header) == expected, header
    missing = await world.anonymous.get("/nothing", Accept_Language="de")
    assert missing.body["message"] != (await world.anonymous.get("/nothing")).body["message"]


async def follow(client: Client, path: str) -> list[dict[str, Any]]:
    """The pages that ``next`` leads through."""
    pages = [(await client.get(path)).data]
    while pages[-1]["next"]:
        assert pages[-1]["next"].startswith(client.base_url)
        pages.append((await client.get(pages[-1]["next"].removeprefix(client.base_url))).data)
    return pages


@pytest.mark.gen_test
async def test_pages_are_complete_and_their_links_absolute(world: World) -> None:
    _, path = stocked(world, 7)
    for ordering in ("created_at", "-title", "price", "-average_rating", "total_enrollments"):
        pages = await follow(world.anonymous, f"{path}&page=1&page_size=3&ordering={ordering}&search=")
        assert [len(page["results"]) for page in pages] == [3, 3, 1]
        assert {page["count"] for page in pages} == {7}
        assert len({row["id"] for page in pages for row in page["results"]}) == 7
        assert f"ordering={ordering}" in pages[0]["next"]
        assert pages[0]["previous"] is None
        back = (await world.anonymous.get(pages[2]["previous"].removeprefix(world.base_url))).data
        assert back == pages[1]
    default = (await world.anonymous.get(f"{path}&page=1")).data
    assert (len(default["results"]), default["next"]) == (7, None)
    beyond = (await world.anonymous.get(f"{path}&page=9&page_size=3")).data
    assert (beyond["results"], beyond["next"], beyond["count"]) == ([], None, 7)


@pytest.mark.gen_test
async def test_a_list_without_a_page_holds_everything_and_leads_on_past_its_bound(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = world.person()
    for _ in range(25):
        world.notification(person)
        world.clock.advance(timedelta(seconds=1))
    client = world.of(world.person())
    client = world.of(person)
    path = f"{API}/notifications/"
    whole = (await client.get(path)).data
    assert (whole["count"], len(whole["results"]), whole["next"]) == (25, 25, None)
    monkeypatch.setattr(handlers_base, "EVERYTHING", 10)
    monkeypatch.setattr(handlers_base, "MAX_PAGE_SIZE", 5)
    pages = await follow(client, path)
    assert [len(page["results"]) for page in pages] == [10, 5, 5, 5]
    assert [row for page in pages for row in page["results"]] == whole["results"], "no row twice, none left out"


@pytest.mark.gen_test
async def test_a_fault_of_ours_says_nothing_but_that(world: World, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("secret inner life")

    monkeypatch.setattr(courses, "create", broken)
    teacher = world.of(world.person("teacher", world.organization()))
    # The client of the tests holds every answer against the document, which knows no 500.
    with pytest.raises(AssertionError, match="status 500 is not documented") as refused:
        await teacher.post(f"{API}/courses/", {"title": "x", "category": "technology"}, Origin=ORIGIN)
    assert "SERVER_ERROR" in str(refused.value)
    assert "inner life" not in str(refused.value)
    assert "inner life" in capfd.readouterr().out, "the log has it"
