"""The personal data of enrollments: what somebody learned, and had the right to."""

from __future__ import annotations

from edurise.enrollments.models import Enrollment, Entitlement
from edurise.personal import Fate, PersonalTable, declare, exporting

SECTION = "enrollments"

declare(
    PersonalTable(
        section=SECTION,
        table="enrollments",
        person=("person_id",),
        fate=Fate.KEPT,
        export=exporting(
            Enrollment.person_id,
            Enrollment.id,
            Enrollment.tenant_id,
            Enrollment.course_id,
            Enrollment.status,
            Enrollment.progress_percentage,
            Enrollment.enrolled_at,
            Enrollment.completed_at,
            Enrollment.last_accessed,
        ),
        erase=None,
        because="The school's record of how many learned what, and came how far: of somebody without a name.",
    )
)
declare(
    PersonalTable(
        section=SECTION,
        table="entitlements",
        person=("person_id",),
        fate=Fate.KEPT,
        export=exporting(
            Entitlement.person_id,
            Entitlement.tenant_id,
            Entitlement.course_id,
            Entitlement.source,
            Entitlement.source_id,
            Entitlement.granted_at,
        ),
        erase=None,
        because="What a payment bought belongs to the payment, which accounting law keeps.",
    )
)
