"""Every table of the project and what is personal in it: importing this module fills the metadata and the registry of
personal data."""

from __future__ import annotations

import edurise.activity
import edurise.ai.models
import edurise.ai.personal
import edurise.audit
import edurise.channels
import edurise.courses.models
import edurise.courses.personal
import edurise.deliveries
import edurise.enrollments.models
import edurise.enrollments.personal
import edurise.files.models
import edurise.files.personal
import edurise.identity.models
import edurise.identity.personal
import edurise.identity.proofs
import edurise.leases
import edurise.live.models
import edurise.live.personal
import edurise.notifications.models
import edurise.notifications.personal
import edurise.outbox
import edurise.payments.models
import edurise.payments.personal
import edurise.tenants.models
import edurise.tenants.personal  # noqa: F401 - imported for its tables, as the others
from edurise.db import Base

BASE = Base
