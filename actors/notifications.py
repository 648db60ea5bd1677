"""What people are told about what happened: a row and a live frame by one actor, an e-mail by another, so that neither
waits for the other."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from actors.registry import actor
from actors.runtime import DeliveryHop
from edurise.container import Container
from edurise.courses import queries as courses
from edurise.enrollments.events import CourseEnrolled
from edurise.errors import NotFound
from edurise.files.events import FileInspected
from edurise.identity import queries as people
from edurise.identity.events import IdentityLinkAsked, PersonRegistered, TeacherApproved
from edurise.identity.identities import PURPOSE as LINK_IDENTITY
from edurise.notifications import mails, service
from edurise.notifications.ports import Mail
from edurise.outbox import Event
from edurise.payments.events import PaymentSettled
from edurise.tenants import queries as tenants


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


@actor(on=PersonRegistered, fatal=(NotFound,))
async def welcome(c: Container, event: PersonRegistered, hop: DeliveryHop) -> None:  # noqa: ARG001 - every actor's signature
    """A first notification."""
    await hop(service.notify, event.person_id, "welcome", event.id, {}, {}, person=event.person_id, final=True)


@actor(on=PersonRegistered, fatal=(NotFound,))
async def mail_a_welcome(c: Container, event: PersonRegistered, hop: DeliveryHop) -> None:
    """A first e-mail."""
    await _mail(c, event, hop, event.person_id, "welcome", "/courses", {})


@actor(on=IdentityLinkAsked, fatal=(NotFound,))
async def mail_an_identity_link(c: Container, event: IdentityLinkAsked, hop: DeliveryHop) -> None:
    """Whether an account elsewhere is theirs; its token is made here, and stored nowhere."""
    params = {"organization": await hop(tenants.name_of)}
    path = f"/auth/link?token={c.mail_links.token(LINK_IDENTITY, event.link_id)}"
    await _mail(c, event, hop, event.person_id, "identity_link", path, params)


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
    person = await hop(people.addressee, person_id, person=person_id)
    link = f"{c.settings.ui_url.rstrip('/')}{path}"
    rendered = mails.render(kind, person["language"], {**params, "name": person["first_name"], "link": link})
    await c.mailer.send(
        Mail(
            to=person["email"],
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
            message_id=f"{event.id.hex}.{kind}@mail.invalid",
            language=rendered.language,
        )
    )
    await hop.finish()
