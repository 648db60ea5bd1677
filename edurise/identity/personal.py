"""The personal data of accounts. Secrets are never exported: neither their hashes nor what seals them."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Uuid, bindparam, delete, select, update
from sqlalchemy.orm import Session

from edurise.identity.models import (
    ApplicationDocument,
    Credential,
    LoginSession,
    Person,
    Preferences,
    Profile,
    RefreshToken,
    Revocation,
    TeacherApplication,
)
from edurise.identity.proofs import ExternalIdentity, MailedLink, RecoveryCode, SecondFactor, SignIn
from edurise.personal import NAMELESS, Fate, PersonalTable, declare, deleting, exporting, running

SECTION = "identity"
ADDRESS = "erased-{id}@erased.invalid"
"""What stands in the place of the address of who is erased: unique, and of a domain that never exists (RFC 2606)."""
_TOKEN_OUTLIVES = timedelta(hours=25)
_PERSON = bindparam("person", type_=Uuid())
_OWN_SESSIONS = select(LoginSession.id).where(LoginSession.person_id == _PERSON)
_OWN_APPLICATIONS = select(TeacherApplication.id).where(TeacherApplication.person_id == _PERSON)


def _end_sessions(session: Session, person_id: UUID, now: datetime) -> int:
    """Sessions go, and their access tokens with them: every process learns of a revocation within a second."""
    ended = session.execute(
        delete(LoginSession)
        .where(LoginSession.person_id == person_id)
        .returning(LoginSession.id, LoginSession.revoked_at, LoginSession.expires_at)
    ).all()
    for session_id, revoked_at, expires_at in ended:
        if revoked_at is None and expires_at > now:
            session.add(Revocation(session_id=session_id, at=now, expires_at=expires_at + _TOKEN_OUTLIVES))
    return len(ended)


def _unname(session: Session, person_id: UUID, now: datetime) -> int:
    """The row stays, for what refers to it, and says nothing of anybody; its tokens are worth nothing."""
    changed = session.execute(
        update(Person)
        .where(Person.id == person_id, Person.erased_at.is_(None))
        .values(
            email=ADDRESS.format(id=person_id),
            first_name=NAMELESS[0],
            last_name=NAMELESS[1],
            language="en",
            timezone="UTC",
            is_platform_admin=False,
            is_active=False,
            token_version=Person.token_version + 1,
            last_login_at=None,
            email_verified_at=None,
            avatar_path=None,
            has_second_factor=False,
            erase_after=None,
            erased_at=now,
        )
        .returning(Person.id)
    ).all()
    return len(changed)


declare(
    PersonalTable(
        section=SECTION,
        table="profiles",
        person=("person_id",),
        fate=Fate.DELETED,
        export=exporting(
            Profile.person_id,
            Profile.bio,
            Profile.phone,
            Profile.date_of_birth,
            Profile.title,
            Profile.experience,
            Profile.expertise,
            Profile.education,
            Profile.social_links,
            Profile.updated_at,
            order=(Profile.person_id,),
        ),
        erase=deleting(Profile.person_id),
    )
)
declare(
    PersonalTable(
        section=SECTION,
        table="preferences",
        person=("person_id",),
        fate=Fate.DELETED,
        export=exporting(
            Preferences.person_id,
            Preferences.email_notifications,
            Preferences.push_notifications,
            Preferences.marketing_emails,
            Preferences.theme,
            Preferences.updated_at,
            order=(Preferences.person_id,),
        ),
        erase=deleting(Preferences.person_id),
    )
)
declare(
    PersonalTable(
        section=SECTION,
        table="application_documents",
        person=("application_id",),
        fate=Fate.DELETED,
        export=exporting(
            TeacherApplication.person_id,
            TeacherApplication.tenant_id,
            ApplicationDocument.application_id,
            ApplicationDocument.file_id,
            ApplicationDocument.name,
            ApplicationDocument.added_at,
            order=(ApplicationDocument.id,),
            joined=(ApplicationDocument, ApplicationDocument.application_id == TeacherApplication.id),
        ),
        erase=running(delete(ApplicationDocument).where(ApplicationDocument.application_id.in_(_OWN_APPLICATIONS))),
    )
)
declare(
    PersonalTable(
        section=SECTION,
        table="teacher_applications",
        person=("person_id",),
        others=("reviewed_by",),
        fate=Fate.DELETED,
        export=exporting(
            TeacherApplication.person_id,
            TeacherApplication.id,
            TeacherApplication.tenant_id,
            TeacherApplication.status,
            TeacherApplication.rejection_reason,
            TeacherApplication.teaching_experience,
            TeacherApplication.subject_expertise,
            TeacherApplication.education,
            TeacherApplication.experience,
            TeacherApplication.expertise_areas,
            TeacherApplication.teaching_philosophy,
            TeacherApplication.submitted_at,
            TeacherApplication.reviewed_at,
        ),
        erase=deleting(TeacherApplication.person_id),
    )
)
declare(
    PersonalTable(
        section=SECTION,
        table="refresh_tokens",
        person=("session_id",),
        fate=Fate.DELETED,
        export=None,
        erase=running(delete(RefreshToken).where(RefreshToken.session_id.in_(_OWN_SESSIONS))),
        because="Hashes of keys to an account; the sessions that they belong to are exported.",
    )
)
declare(
    PersonalTable(
        section=SECTION,
        table="sessions",
        person=("person_id",),
        fate=Fate.DELETED,
        export=exporting(
            LoginSession.person_id,
            LoginSession.tenant_id,
            LoginSession.method,
            LoginSession.user_agent,
            LoginSession.ip,
            LoginSession.created_at,
            LoginSession.used_at,
            LoginSession.expires_at,
            LoginSession.revoked_at,
        ),
        erase=_end_sessions,
    )
)
declare(
    PersonalTable(
        section=SECTION,
        table="mailed_links",
        person=("person_id",),
        fate=Fate.DELETED,
        export=exporting(
            MailedLink.person_id,
            MailedLink.purpose,
            MailedLink.email,
            MailedLink.created_at,
            MailedLink.expires_at,
            MailedLink.used_at,
        ),
        erase=deleting(MailedLink.person_id),
    )
)
declare(
    PersonalTable(
        section=SECTION,
        table="credentials",
        person=("person_id",),
        fate=Fate.DELETED,
        export=None,
        erase=deleting(Credential.person_id),
        because="The hash of a password: whoever has it can try passwords.",
    )
)
declare(
    PersonalTable(
        section=SECTION,
        table="second_factors",
        person=("person_id",),
        fate=Fate.DELETED,
        export=exporting(
            SecondFactor.person_id,
            SecondFactor.created_at,
            SecondFactor.confirmed_at,
            order=(SecondFactor.person_id,),
        ),
        erase=deleting(SecondFactor.person_id),
    )
)
declare(
    PersonalTable(
        section=SECTION,
        table="recovery_codes",
        person=("person_id",),
        fate=Fate.DELETED,
        export=exporting(RecoveryCode.person_id, RecoveryCode.created_at, RecoveryCode.used_at),
        erase=deleting(RecoveryCode.person_id),
    )
)
declare(
    PersonalTable(
        section=SECTION,
        table="external_identities",
        person=("person_id",),
        fate=Fate.DELETED,
        export=exporting(
            ExternalIdentity.person_id,
            ExternalIdentity.tenant_id,
            ExternalIdentity.issuer,
            ExternalIdentity.subject,
            ExternalIdentity.email,
            ExternalIdentity.linked_at,
            ExternalIdentity.created_at,
            ExternalIdentity.used_at,
        ),
        erase=deleting(ExternalIdentity.person_id),
    )
)
declare(
    PersonalTable(
        section=SECTION,
        table="sign_ins",
        person=("person_id",),
        fate=Fate.DELETED,
        export=None,
        erase=deleting(SignIn.person_id),
        because="Secrets of a sign-in elsewhere that is under way, good for minutes.",
    )
)
declare(
    PersonalTable(
        section=SECTION,
        table="people",
        person=("id",),
        fate=Fate.EMPTIED,
        export=exporting(
            Person.id,
            Person.id,
            Person.email,
            Person.first_name,
            Person.last_name,
            Person.language,
            Person.timezone,
            Person.is_platform_admin,
            Person.is_active,
            Person.created_at,
            Person.last_login_at,
            Person.email_verified_at,
            Person.avatar_path,
            Person.has_second_factor,
            Person.erase_after,
        ),
        erase=_unname,
        because="What stays with a school or with the law refers to somebody: to this row, which has no name any more.",
        last=True,
    )
)
