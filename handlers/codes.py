"""Which kind each code of an error belongs to: what lets OpenAPI say under which status a declared code arrives.

The domain raises a code together with its kind; a test reads the code base and demands that this table agrees.
"""

from __future__ import annotations

from collections.abc import Mapping

from edurise.errors import Kind

_CODES: Mapping[Kind, tuple[str, ...]] = {
    Kind.INVALID: (
        "BAD_REQUEST",
        "CARD_DATA_REFUSED",
        "FILE_TYPE_MISMATCH",
        "FILE_TYPE_NOT_ALLOWED",
        "FRAME_INVALID",
        "INVALID_CREDENTIALS",
        "MAIL_REFUSED",
        "PAYMENT_DECLINED",
        "PAYMENT_REFUSED",
        "VALIDATION_ERROR",
        "WEBHOOK_BODY",
        "WEBHOOK_NOT_SUPPORTED",
        "WEBHOOK_SIGNATURE",
    ),
    Kind.UNAUTHENTICATED: ("TOKEN_EXPIRED", "TOKEN_INVALID", "TOKEN_REUSED", "UNAUTHORIZED"),
    Kind.FORBIDDEN: (
        "COURSE_ACCESS_ERROR",
        "COURSE_SUSPENDED",
        "FILE_ACCESS_NOT_ALLOWED",
        "PERMISSION_DENIED",
        "TENANT_ACCESS_ERROR",
    ),
    Kind.NOT_FOUND: (
        "ANSWER_NOT_RUNNING",
        "CHANNEL_NOT_FOUND",
        "LINK_EXPIRED",
        "LINK_INVALID",
        "LINK_REVOKED",
        "NOT_FOUND",
        "ORGANIZATION_NOT_FOUND",
        "PAYMENT_GATEWAY_UNKNOWN",
        "SUBSCRIPTION_NOT_FOUND",
        "UPLOAD_GONE",
    ),
    Kind.CONFLICT: (
        "ALREADY_ENROLLED",
        "ANSWER_RUNNING",
        "APPLICATION_DECIDED",
        "CLASS_CANCELLED",
        "CLASS_NOT_JOINED",
        "CLASS_NOT_OPEN",
        "CLASS_NOT_STARTED",
        "CLASS_OVER",
        "CONFLICT",
        "COURSE_FULL",
        "COURSE_IS_FREE",
        "COURSE_NOT_ON_SALE",
        "EMAIL_TAKEN",
        "ENROLLMENT_ERROR",
        "FILE_ARRIVING",
        "FILE_CATEGORY_IN_USE",
        "FILE_CATEGORY_TAKEN",
        "FILE_EXPIRED",
        "FILE_FAILED",
        "FILE_IN_TRASH",
        "FILE_NOT_IN_TRASH",
        "FILE_NOT_READY",
        "FILE_QUARANTINED",
        "IDEMPOTENCY_KEY_REUSED",
        "PAYMENT_DIALOG_UNSUPPORTED",
        "PAYMENT_ERROR",
        "PAYMENT_INTENT_MISMATCH",
        "PAYMENT_METHOD_UNAVAILABLE",
        "PAYMENT_MISMATCH",
        "PAYMENT_NOT_STARTED",
        "PAYMENT_REQUIRED",
        "QUOTA_EXCEEDED",
        "REVIEW_REQUIRED",
        "DIRECT_UPLOAD_UNAVAILABLE",
        "UPLOAD_BUSY",
        "UPLOAD_INCOMPLETE",
        "UPLOAD_OFFSET_MISMATCH",
    ),
    Kind.PRECONDITION: ("PRECONDITION_FAILED", "TUS_VERSION_NOT_SUPPORTED"),
    Kind.RANGE: ("RANGE_NOT_SATISFIABLE",),
    Kind.CHECKSUM: ("CHECKSUM_MISMATCH",),
    Kind.OVERSIZE: (
        "FILE_TOO_LARGE",
        "PAYLOAD_TOO_LARGE",
    ),
    Kind.MEDIA_TYPE: ("UNSUPPORTED_MEDIA_TYPE",),
    Kind.LIMITED: (
        "AI_QUOTA_EXCEEDED",
        "DAILY_LIMIT_REACHED",
        "RATE_LIMIT_EXCEEDED",
        "TOO_MANY_FRAMES",
        "TOO_MANY_SUBSCRIPTIONS",
    ),
    Kind.OVERLOADED: ("DATABASE_UNAVAILABLE", "NOT_READY", "OVERLOADED", "STREAMS_UNAVAILABLE"),
    Kind.UPSTREAM: (
        "AI_EMPTY_ANSWER",
        "AI_SERVICE_UNAVAILABLE",
        "CDN_UNAVAILABLE",
        "MAIL_UNAVAILABLE",
        "PAYMENT_GATEWAY_UNAVAILABLE",
        "STORE_UNAVAILABLE",
        "UPSTREAM_UNAVAILABLE",
    ),
}

KIND_OF_CODE: Mapping[str, Kind] = {code: kind for kind, codes in _CODES.items() for code in codes}
