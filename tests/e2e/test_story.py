"""The story: a course is taught in one organization, bought by a learner of another, and the learner is told.

Every step goes over the public API, through nginx, to processes on services of the test's own.
"""

from __future__ import annotations

import asyncio

import pytest
from tornado.websocket import websocket_connect

from edurise.tenants.queries import MAIN
from tests.e2e import cashier
from tests.e2e.story import PRICE, STUDENT, TEACHER, People, Purchase, Taught
from tests.e2e.town import AUTH, logged_in
from tests.harness.books import Books
from tests.harness.listener import Listener
from tests.harness.processes import Stack
from tests.harness.waiting import eventually
from tests.harness.world import PASSWORD

pytestmark = [pytest.mark.e2e]


@pytest.mark.gen_test(timeout=60)
async def test_a_teacher_is_one_by_approval(people: People) -> None:
    student, teacher = people.registered["student"].body["user"], people.registered["teacher"].body["user"]
    assert (student["organization"]["id"], teacher["organization"]["id"]) == (str(MAIN), str(people.organization))
    assert (teacher["is_teacher"], teacher["is_approved_teacher"], teacher["role"]) == (True, False, "student")
    early, listed, by_applicant, by_administrator = people.approval
    assert (early.status, by_applicant.status, by_administrator.status) == (403, 403, 200)
    assert [one["user_email"] for one in listed.data] == [TEACHER]
    assert by_administrator.data["status"] == "approved"
    me = (await people.teacher.get("/api/v1/users/me/")).body
    flags = ("is_teacher", "is_approved_teacher", "is_staff", "is_superuser")
    assert [me[flag] for flag in flags] == [True, True, False, False]
    platform = (await people.platform.get("/api/v1/users/me/")).body
    assert platform["is_superuser"] is True


@pytest.mark.gen_test(timeout=60)
async def test_parallel_refreshes_all_succeed_and_a_late_one_ends_the_family(stack: Stack, people: People) -> None:
    refresh = f"{AUTH}/token/refresh/"
    session = await stack.client.post(f"{AUTH}/login/", {"email": STUDENT, "password": PASSWORD})
    old = {"refresh": session.body["refresh"]}
    answers = await asyncio.gather(*(stack.client.post(refresh, old) for _ in range(6)))
    assert [one.status for one in answers] == [200] * 6
    assert len({one.body["refresh"] for one in answers}) == 6
    bay = str(people.organization)
    foreign = await stack.client.post(refresh, {"refresh": answers[0].body["refresh"], "tenant_id": bay})
    assert (foreign.status, foreign.code) == (403, "TENANT_ACCESS_ERROR")
    named = await stack.client.post(refresh, {"refresh": answers[1].body["refresh"], "tenant_id": str(MAIN)})
    assert named.status == 200, named.content
    fresh = stack.client.as_(named.body["access"])
    assert (await fresh.get("/api/v1/users/me/")).status == 200

    async def reused() -> bool:
        return (await stack.client.post(refresh, old)).code == "TOKEN_REUSED"

    await eventually(reused, "the end of the grace")
    assert (await stack.client.post(refresh, {"refresh": named.body["refresh"]})).status == 401

    async def refused() -> bool:
        return (await fresh.get("/api/v1/users/me/")).status == 401

    await eventually(refused, "the access token of a stolen family at both webs", 5)


@pytest.mark.gen_test(timeout=60)
async def test_a_published_course_is_found_and_a_draft_is_not(stack: Stack, people: People, taught: Taught) -> None:
    before = taught.before
    assert (before["course"].status, before["payment"].status, before["search"].data["count"]) == (404, 404, 0)
    found = (await people.student.get("/api/v1/courses/marketplace/?search=harvest+wave")).data
    assert [(one["id"], one["price"], one["currency"]) for one in found["results"]] == [(taught.id, PRICE, "USD")]
    assert found["results"][0]["organization"]["id"] == str(people.organization)
    assert (await people.student.get("/api/v1/courses/marketplace/?search=volcano")).data["count"] == 0
    detail = await stack.client.get(f"/api/v1/courses/{taught.id}/")
    assert [one["title"] for one in detail.data["modules"]] == ["Swell", "Socket"]
    modules = await stack.client.get(f"/api/v1/course-modules/?course={taught.id}")
    assert modules.data["count"] == 2
    assert b"Secret" not in detail.content + modules.content
    again = await people.teacher.get(f"/api/v1/course-lessons/{taught.lesson_id}/")
    assert again.data["content"] == "<p>Secret</p>"


@pytest.mark.gen_test(timeout=60)
async def test_card_data_are_refused_and_the_price_is_the_servers(
    people: People, taught: Taught, purchase: Purchase
) -> None:
    card = {"amount": 4990, "card": {"cardNumber": "4242424242424242", "cvv": "123"}, "course_id": taught.id}
    refused = await people.student.post("/api/v1/payments/", card)
    assert (refused.status, refused.code) == (400, "CARD_DATA_REFUSED")
    assert b"4242" not in refused.content
    assert (purchase.started.status, purchase.started.data["amount"]) == (201, PRICE)
    assert (purchase.started.data["currency"], purchase.started.data["gateway"]) == ("USD", "stripe")
    same, by_alias, unpaid = purchase.repeated
    assert {one.data["payment_id"] for one in (same, by_alias)} == {purchase.id}
    assert (unpaid.status, unpaid.data["status"]) == (200, "pending")
    other = {"course_id": taught.id, "payment_method": "paypal"}
    mismatch = await people.student.post(f"{cashier.PAYMENTS}/create_course_payment/", other, Idempotency_Key="a-click")
    assert mismatch.status == 409


@pytest.mark.gen_test(timeout=60)
async def test_browser_and_webhooks_settle_once(stack: Stack, books: Books, purchase: Purchase, taught: Taught) -> None:
    assert [(one.status, one.data["status"], one.data["amount"]) for one in purchase.confirmations] == [
        (200, "completed", PRICE)
    ] * 6
    assert {one.headers["X-Served-By"] for one in purchase.confirmations} == {
        listener.served_by[0] for listener in purchase.listeners
    }
    state = (await stack.gateway.get("/_sim/state")).body
    assert state["counts"]["created"] == 1
    assert state["webhooks"]["answer_200"] == state["webhooks"]["attempts"] == 3 * 3 * 2
    (row,) = books.purchases()
    assert (str(row["id"]), row["status"], row["amount_minor"], str(row["course_id"])) == (
        purchase.id, "completed", 4990, taught.id,
    )  # fmt: skip
    assert books.wrong_purchases() == []
    assert books.number("SELECT count(*) FROM gateway_events") == 3


@pytest.mark.gen_test(timeout=60)
async def test_the_student_may_study_what_was_bought(people: People, taught: Taught, purchase: Purchase) -> None:
    (course,) = (await people.student.get("/api/v1/courses/enrolled_courses/")).data
    assert (course["id"], course["progress_percentage"]) == (taught.id, 0)
    lessons = (await people.student.get(f"/api/v1/course-lessons/?module={taught.module_ids[0]}")).data
    assert [one["content"] for one in lessons["results"]] == ["<p>Secret</p>"]
    enrolled = await people.student.post(f"/api/v1/courses/{taught.id}/enroll/")
    assert (enrolled.status, enrolled.data["id"]) == (200, course["enrollment_id"])
    again = await cashier.start(people.student, taught.id)
    assert (again.status, again.code) == (409, "ALREADY_ENROLLED")


@pytest.mark.gen_test(timeout=60)
async def test_the_student_is_told_by_row_frame_and_mail(
    stack: Stack, books: Books, people: People, taught: Taught, purchase: Purchase
) -> None:
    for listener in purchase.listeners:  # one of them at the web that did not confirm
        assert sorted(listener.types()) == ["course_enrollment", "payment_settled"]
        frame = next(event for event in listener.events if event["data"]["notification"]["type"] == "payment_settled")
        assert frame["notification"] == frame["data"]["notification"]
        assert frame["notification"]["data"] == {"course_id": taught.id, "payment_id": purchase.id}
    rows = (await people.student.get("/api/v1/notifications/")).data["results"]
    assert sorted(one["type"] for one in rows) == ["course_enrollment", "payment_settled", "welcome"]
    assert dict(books.receipts()) == dict.fromkeys(books.settled_events(), 1)
    ours = [mail for mail in books.mails() if mail["To"] == STUDENT]
    assert (
        len(ours) == len({mail["Message-ID"] for mail in ours}) == 3
    )  # the welcome, the confirmation of the address, the receipt
    assert "Harvesting Ocean Waves" in ours[-1].get_body(("plain",)).get_content()
    assert books.channels_with_gaps() == []

    async with Listener(stack.nginx.url, people.student.token or "").open() as listener:
        await eventually(lambda: len(listener.told) == 2, "the count of the unread")
        assert [frame.get("count") for frame in listener.told] == [None, 3]
        marked = await people.student.post(f"/api/v1/notifications/{rows[0]['id']}/mark_read/", {"is_read": True})
        assert (marked.status, marked.data["is_read"]) == (200, True)
        await eventually(lambda: listener.events, "the new count")
        assert [(event["type"], event["count"]) for event in listener.events] == [("unread_count", 2)]


@pytest.mark.gen_test(timeout=60)
async def test_the_student_switches_to_the_organization_of_the_course(
    stack: Stack, people: People, purchase: Purchase
) -> None:
    session = await logged_in(stack.client, STUDENT)
    bay = str(people.organization)
    assert [one["id"] for one in (await session.get("/api/v1/users/tenants/")).data] == [str(MAIN), bay]
    switched = await session.post("/api/v1/users/switch_tenant/", {"tenant_id": bay})
    assert (switched.status, switched.body["tenant"]["id"]) == (200, bay), switched.content
    renewed = await stack.client.post(f"{AUTH}/token/refresh/", {"refresh": switched.body["tokens"]["refresh"]})
    for token in (switched.body["token"], switched.body["tokens"]["access"], renewed.body["access"]):
        pinned = stack.client.as_(token, X_Tenant_ID=str(MAIN))
        me = await pinned.get("/api/v1/users/me/")
        assert (me.status, me.body["organization"]["id"], me.body["role"]) == (200, bay, "student"), me.content
        assert (await pinned.get("/api/v1/users/tenants/")).data[0]["id"] == bay


@pytest.mark.gen_test(timeout=60)
async def test_nobody_reaches_what_is_not_theirs(
    stack: Stack, people: People, taught: Taught, purchase: Purchase
) -> None:
    student, teacher, anonymous = people.student, people.teacher, stack.client
    told = (await student.get("/api/v1/notifications/?type=payment_settled")).data["results"][0]["id"]
    main = {"X_Tenant_ID": str(MAIN)}
    module, course = {"course": taught.id, "title": "Mine now"}, {"title": "Mine", "category": "technology"}
    read = f"/api/v1/notifications/{told}/mark_read/"
    refused = {
        "the student writes": (await student.patch(f"/api/v1/courses/{taught.id}/", {"price": 0})).status,
        "the student adds a module": (await student.post("/api/v1/course-modules/", module)).status,
        "the student creates": (await student.post("/api/v1/courses/", course)).status,
        "the teacher confirms another's payment": (await cashier.confirm(teacher, purchase.id)).status,
        "the teacher reads another's notification": (await teacher.post(read)).status,
        "the teacher acts in main": (await teacher.get("/api/v1/teacher-approvals/", **main)).status,
        "the administrator acts in main": (await people.administrator.get("/api/v1/teacher-approvals/", **main)).status,
        "nobody studies": (await anonymous.get(f"/api/v1/course-lessons/{taught.lesson_id}/")).status,
        "nobody buys": (await cashier.start(anonymous, taught.id)).status,
        "a forged webhook": (await anonymous.post("/api/v1/webhooks/stripe/", {"id": "evt_forged"})).status,
    }
    assert refused == {
        "the student writes": 403,
        "the student adds a module": 403,
        "the student creates": 403,
        "the teacher confirms another's payment": 403,
        "the teacher reads another's notification": 404,
        "the teacher acts in main": 403,
        "the administrator acts in main": 403,
        "nobody studies": 401,
        "nobody buys": 401,
        "a forged webhook": 400,
    }
    assert (await teacher.get("/api/v1/notifications/")).data["count"] == 2  # the welcome and the approval
    socket = await websocket_connect(stack.nginx.url.replace("http", "ws", 1) + "/ws/notifications/?token=forged")
    assert await socket.read_message() is None
    socket.close()
    assert socket.close_code == 4401


@pytest.mark.gen_test(timeout=60)
async def test_no_process_logged_an_error(stack: Stack, purchase: Purchase) -> None:
    assert stack.complaints() == []
