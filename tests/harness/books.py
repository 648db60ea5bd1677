"""What a stack's database and mail server hold, counted past row-level security: the truth that a test compares
with."""

from __future__ import annotations

from collections import Counter
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg2
from psycopg2.extras import RealDictCursor

_PURCHASES = """
SELECT p.id, p.status, p.amount_minor, p.course_id, p.learner_id,
       (SELECT count(*) FROM enrollments e
         WHERE (e.tenant_id, e.course_id, e.person_id) = (p.tenant_id, p.course_id, p.learner_id)) AS enrollments,
       (SELECT count(*) FROM entitlements t WHERE t.source_id = p.id) AS entitlements,
       (SELECT count(*) FROM standings s
         WHERE (s.tenant_id, s.course_id, s.person_id, s.kind)
             = (p.tenant_id, p.course_id, p.learner_id, 'learner')) AS standings,
       (SELECT count(*) FROM memberships m
         WHERE (m.tenant_id, m.person_id) = (p.tenant_id, p.learner_id)) AS memberships,
       (SELECT count(*) FROM outbox o
         WHERE o.topic = 'payments.settled.v1' AND o.payload->>'payment_id' = p.id::text) AS settled_events,
       (SELECT count(*) FROM audit_log a WHERE a.action = 'payment.settled' AND a.object_id = p.id) AS audited,
       (SELECT count(*) FROM notifications n
         WHERE n.user_id = p.learner_id AND n.type = 'payment_settled'
           AND n.data->>'payment_id' = p.id::text) AS told_of_payment,
       (SELECT count(*) FROM notifications n
         WHERE n.user_id = p.learner_id AND n.type = 'course_enrollment'
           AND n.data->>'course_id' = p.course_id::text) AS told_of_enrollment
  FROM payments p ORDER BY p.id
"""
COUNTED = (
    "enrollments", "entitlements", "standings", "memberships", "settled_events", "audited", "told_of_payment",
    "told_of_enrollment",
)  # fmt: skip
_OPEN_WORK = """
SELECT (SELECT count(*) FROM outbox WHERE spread_at IS NULL)
     + (SELECT count(*) FROM deliveries WHERE done_at IS NULL AND dead_at IS NULL) AS open
"""
_CHANNELS = """
SELECT c.name, c.head, count(e."offset") AS events, min(e."offset") AS first, max(e."offset") AS last
  FROM channels c LEFT JOIN channel_events e ON e.channel = c.name GROUP BY c.name, c.head
"""


class Books:
    """Reads as the server's superuser; a connection for each question, for servers come and go."""

    def __init__(self, port: int, mail_folder: Path) -> None:
        self._port = port
        self._mail_folder = mail_folder

    def rows(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """The rows of a statement."""
        connection = psycopg2.connect(
            host="127.0.0.1", port=self._port, user="postgres", dbname="edurise", connect_timeout=5,
            cursor_factory=RealDictCursor,
        )  # fmt: skip
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, values)
                return [dict(row) for row in cursor.fetchall()] if cursor.description else []
        finally:
            connection.close()

    def number(self, statement: str, *values: object) -> int:
        """The one number that a statement returns."""
        (row,) = self.rows(statement, *values)
        (found,) = row.values()
        return int(found)

    def open_work(self) -> int:
        """How many events were not spread and how many deliveries have not ended."""
        return self.number(_OPEN_WORK)

    def purchases(self) -> list[dict[str, Any]]:
        """Every payment with what followed from it; ``COUNTED`` names the counts."""
        return self.rows(_PURCHASES)

    def wrong_purchases(self) -> list[dict[str, Any]]:
        """The completed payments without exactly one of each of ``COUNTED``, and the others with any but a
        membership."""
        return [
            one
            for one in self.purchases()
            if any(one[name] != (one["status"] == "completed") for name in COUNTED if name != "memberships")
            or (one["status"] == "completed" and one["memberships"] != 1)
        ]

    def channels_with_gaps(self) -> list[dict[str, Any]]:
        """The channels whose events are not numbered 1 to head."""
        return [
            one
            for one in self.rows(_CHANNELS)
            if not (one["events"] == one["head"] == one["last"] and one["first"] == 1)
        ]

    def dead_deliveries(self) -> list[dict[str, Any]]:
        """Deliveries that were given up."""
        return self.rows("SELECT event_id, actor, attempts, last_error FROM deliveries WHERE dead_at IS NOT NULL")

    def mails(self) -> list[EmailMessage]:
        """Everything that the mail server accepted, in that order."""
        found = sorted(self._mail_folder.glob("*.eml"))
        return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in found]

    def receipts(self) -> Counter[str]:
        """How often each receipt was sent, by the id of the event that it belongs to."""
        ids = (str(mail["Message-ID"]).strip(" <>").partition("@")[0] for mail in self.mails())
        return Counter(str(UUID(name.partition(".")[0])) for name in ids if name.endswith(".payment_settled"))

    def settled_events(self) -> set[str]:
        """The ids of the events of settled payments."""
        return {str(row["id"]) for row in self.rows("SELECT id FROM outbox WHERE topic = 'payments.settled.v1'")}
