"""The personal data of payments. No card is ever stored, so none is exported."""

from __future__ import annotations

from edurise.payments.models import Payment
from edurise.personal import Fate, PersonalTable, declare, exporting

declare(
    PersonalTable(
        section="payments",
        table="payments",
        person=("learner_id",),
        fate=Fate.KEPT,
        export=exporting(
            Payment.learner_id,
            Payment.id,
            Payment.tenant_id,
            Payment.course_id,
            Payment.amount_minor,
            Payment.currency,
            Payment.method,
            Payment.status,
            Payment.created_at,
            Payment.completed_at,
            Payment.failed_at,
        ),
        erase=None,
        because="Accounting and tax law: a school must keep its payments for years, of somebody without a name.",
    )
)
