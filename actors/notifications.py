"""What people are told about what happened: a row and a live frame by one actor, an e-mail by another, so that neither
waits for the other."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from actors.mailing import send
from actors.registry import actor
from actors.runtime import DeliveryHop
from edurise.container import Container
from edurise.courses import queries as courses
from edurise.enrollments.events import CourseEnrolled
from edurise.errors import NotFound
from edurise.files.events import FileInspected
from edurise.identity import applications
from edurise.identity import queries as people
from edurise.identity.events import PersonRegistered, TeacherApproved, TeacherRejected
from edurise.notifications import preferences, service
from edurise.outbox import Event
from edurise.payments.events import PaymentSettled
from edurise.tenants import queries as tenants

OPTIONAL = frozenset({"welcome", "course_enrolled", "teacher_approved"})
"""Mails that somebody can do without; a receipt, and why an application was rejected, are sent in any case."""


@actor(on=PaymentSettled, fatal=(NotFound,))
async def tell_the_buyer(c: Container, event: PaymentSettled, hop: DeliveryHop) -> None:  # noqa: ARG001 - every actor's signature
    """The payment arrived."""
    params = {"course": event.course_title, "amount_minor": event.amount_minor, "currency": event.currency}
    data = {"course_id": str(event.course_id), "payment_id": str(event.payment_id)}
    await hop(
        service.notify, event.learner_id, "payment_settled", event.id, params, data, person=event.learner_id, final=True
    )


@actor(on=PaymentSettled, fatal=(NotFound,))
async def mail_the_receipt(c: Container, event: PaymentSettled, hop: DeliveryHop) -> None:
    """The receipt, by e-mail."""
    params = {
        "course": event.course_title,
        "amount_minor": event.amount_minor,
        "currency": event.currency,
        "payment_id": str(event.payment_id),
    }
    await _mail(c, event, hop, event.learner_id, "payment_settled", f"/courses/{event.course_id}", params)


@actor(on=CourseEnrolled, fatal=(NotFound,))
async def tell_the_learner(c: Container, event: CourseEnrolled, hop: DeliveryHop) -> None:  # noqa: ARG001 - every actor's signature
    """The course is open to them."""
    title = await hop(courses.title_of, event.course_id)
    data = {"course_id": str(event.course_id)}
    await hop(
        service.notify,
        event.person_id,
        "course_enrollment",
        event.id,
        {"course": title},
        data,
        person=event.person_id,
        final=True,
    )


@actor(on=CourseEnrolled, fatal=(NotFound,))
async def mail_the_learner(c: Container, event: CourseEnrolled, hop: DeliveryHop) -> None:
    """The same by e-mail, unless a receipt says it already."""
    if event.paid:
        await hop.finish()
        return
    title = await hop(courses.title_of, event.course_id)
    await _mail(c, event, hop, event.person_id, "course_enrolled", f"/courses/{event.course_id}", {"course": title})


@actor(on=TeacherApproved, fatal=(NotFound,))
async def tell_the_teacher(c: Container, event: TeacherApproved, hop: DeliveryHop) -> None:  # noqa: ARG001 - every actor's signature
    """They may teach now."""
    params = {"organization": await hop(tenants.name_of)}
    await hop(
        service.notify, event.person_id, "teacher_approved", event.id, params, {}, person=event.person_id, final=True
    )


@actor(on=TeacherApproved, fatal=(NotFound,))
async def mail_the_teacher(c: Container, event: TeacherApproved, hop: DeliveryHop) -> None:
    """The same by e-mail."""
    params = {"organization": await hop(tenants.name_of)}
    await _mail(c, event, hop, event.person_id, "teacher_approved", "/teacher/courses", params)


@actor(on=TeacherRejected, fatal=(NotFound,))
async def tell_the_applicant(c: Container, event: TeacherRejected, hop: DeliveryHop) -> None:  # noqa: ARG001 - every actor's signature
    """Their application was rejected, and why."""
    params = await _rejection(event, hop)
    await hop(
        service.notify, event.person_id, "teacher_rejected", event.id, params, {}, person=event.person_id, final=True
    )


@actor(on=TeacherRejected, fatal=(NotFound,))
async def mail_the_applicant(c: Container, event: TeacherRejected, hop: DeliveryHop) -> None:
    """The same by e-mail."""
    params = await _rejection(event, hop)
    await _mail(c, event, hop, event.person_id, "teacher_rejected", "/teacher/application-status", params)


async def _rejection(event: TeacherRejected, hop: DeliveryHop) -> dict[str, Any]:
    return {
        "organization": await hop(tenants.name_of),
        "reason": await hop(applications.reason_of, event.application_id),
    }


@actor(on=PersonRegistered, fatal=(NotFound,))
async def welcome(c: Container, event: PersonRegistered, hop: DeliveryHop) -> None:  # noqa: ARG001 - every actor's signature
    """A first notification."""
    await hop(service.notify, event.person_id, "welcome", event.id, {}, {}, person=event.person_id, final=True)


@actor(on=PersonRegistered, fatal=(NotFound,))
async def mail_a_welcome(c: Container, event: PersonRegistered, hop: DeliveryHop) -> None:
    """A first e-mail."""
    await _mail(c, event, hop, event.person_id, "welcome", "/courses", {})


@actor(on=FileInspected, fatal=(NotFound,))
async def tell_of_a_bad_file(c: Container, event: FileInspected, hop: DeliveryHop) -> None:  # noqa: ARG001 - every actor's signature
    """A file that cannot be opened: its owner hears why. Of a good one nothing is told."""
    if event.state == "ready":
        await hop.finish()
        return
    params, data = {"name": event.name}, {"file_id": str(event.file_id), "reason": event.reason}
    kind = f"file_{event.state}"
    await hop(service.notify, event.owner_id, kind, event.id, params, data, person=event.owner_id, final=True)


async def _mail(
    c: Container, event: Event, hop: DeliveryHop, person_id: UUID, kind: str, path: str, params: dict[str, Any]
) -> None:
    """Render for the person, send, and mark. A crash in between sends again under the same Message-ID."""
    if kind in OPTIONAL and not await hop(preferences.wants_mail, person_id, person=person_id):
        await hop.finish()
        return
    person = await hop(people.addressee, person_id, person=person_id)
    await send(c, event, kind, person, path, params)
    await hop.finish()
