"""What a person wants to be told, in the keys of two clients."""

from __future__ import annotations

from schemas.base import Bool, Nested, OutSchema, StrictSchema, Text

_TIME = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"


class CategoriesIn(StrictSchema):
    """Tabs of the bell, one by one."""

    assignment = Bool()
    grade = Bool()
    live_class = Bool()
    course = Bool()
    system = Bool()
    announcement = Bool()
    reminder = Bool()


class CategoriesOut(OutSchema):
    """Tabs of the bell."""

    assignment = Bool()
    grade = Bool()
    live_class = Bool()
    course = Bool()
    system = Bool()
    announcement = Bool()
    reminder = Bool()


class NotificationPreferencesIn(StrictSchema):
    """What is to change; what is not named stays. Quiet hours are in the person's own zone."""

    sound_enabled = Bool()
    browser_notifications = Bool()
    email_notifications = Bool()
    push_notifications = Bool()
    quiet_hours_enabled = Bool()
    quiet_hours_start = Text(pattern=_TIME, max=5)
    quiet_hours_end = Text(pattern=_TIME, max=5)
    categories = Nested(CategoriesIn)
    course_enrollment_notifications = Bool()
    class_reminder_notifications = Bool()
    assignment_due_notifications = Bool()
    payment_notifications = Bool()
    system_notifications = Bool()


class NotificationPreferencesOut(OutSchema):
    """Everything that can be chosen."""

    sound_enabled = Bool()
    browser_notifications = Bool()
    email_notifications = Bool()
    push_notifications = Bool()
    quiet_hours_enabled = Bool()
    quiet_hours_start = Text(max=5)
    quiet_hours_end = Text(max=5)
    categories = Nested(CategoriesOut)
    course_enrollment_notifications = Bool()
    class_reminder_notifications = Bool()
    assignment_due_notifications = Bool()
    payment_notifications = Bool()
    system_notifications = Bool()
