"""Every table of the project, for migrations: importing this module fills the metadata."""

from __future__ import annotations

import edurise.activity
import edurise.ai.models
import edurise.audit
import edurise.channels
import edurise.courses.models
import edurise.deliveries
import edurise.enrollments.models
import edurise.files.models
import edurise.identity.models
import edurise.identity.proofs
import edurise.leases
import edurise.live.models
import edurise.notifications.models
import edurise.outbox
import edurise.payments.models
import edurise.tenants.models  # noqa: F401 - imported for its tables, as the others
from edurise.db import Base

BASE = Base
