"""The rows of the permission table that are about organizations."""

from __future__ import annotations

from uuid import uuid4

from tests.security.entries import ANYBODY, API, Entry

ROOT = f"{API}/organizations"
ONE = f"{ROOT}/{{id:uuid}}"
NOBODY_HERE = (401, 403, 403, 403)

ORGANIZATIONS: dict[str, list[Entry]] = {
    f"GET {ROOT}/": [Entry(ANYBODY)],
    f"GET {ROOT}/by_subdomain/": [Entry(ANYBODY, path=lambda _: f"{ROOT}/by_subdomain/?subdomain=main")],
    f"GET {ROOT}/marketplace_summary/": [Entry(ANYBODY)],
    f"GET {API}/users/{{id:uuid}}/instructor_stats/": [
        Entry(ANYBODY, path=lambda s: f"{API}/users/{s.at.teacher.id}/instructor_stats/")
    ],
    f"GET {ONE}/": [Entry(ANYBODY, path=lambda s: f"{ROOT}/{s.at.id}/")],
    f"GET {ONE}/courses/": [Entry(ANYBODY, path=lambda s: f"{ROOT}/{s.at.id}/courses/")],
    f"GET {ONE}/stats/": [
        Entry((401, 403, 403, 200), "administrator", lambda s: f"{ROOT}/{s.at.id}/stats/"),
        Entry((401, 403, 403, 403), "teacher", lambda s: f"{ROOT}/{s.at.id}/stats/"),
    ],
    f"GET {ONE}/users/": [
        Entry((401, 403, 403, 200), "administrator", lambda s: f"{ROOT}/{s.at.id}/users/"),
        Entry((401, 403, 403, 403), "teacher", lambda s: f"{ROOT}/{s.at.id}/users/"),
    ],
    f"POST {ONE}/switch/": [
        Entry((401, 200, 403, 200), path=lambda s: f"{ROOT}/{s.at.id}/switch/"),
    ],
    # What founds, changes and closes is the platform's alone.
    f"POST {ROOT}/": [
        Entry(NOBODY_HERE, "administrator", body=lambda *_: {"name": "New", "subdomain": f"s{uuid4().hex[:12]}"})
    ],
    f"PATCH {ONE}/": [Entry(NOBODY_HERE, "administrator", lambda s: f"{ROOT}/{s.at.id}/", lambda *_: {"name": "Mine"})],
    f"DELETE {ONE}/": [Entry(NOBODY_HERE, "administrator", lambda s: f"{ROOT}/{s.at.id}/")],
    f"GET {ROOT}/current/": [
        Entry((401, 403, 403, 200), "administrator"),
        Entry((401, 403, 403, 403), "teacher"),
    ],
    f"PATCH {ROOT}/current/": [
        Entry((401, 403, 403, status), right, body=lambda *_: {"description": "By the sea"})
        for right, status in (("administrator", 200), ("teacher", 403))
    ],
    f"GET {ROOT}/current/limits/": [
        Entry((401, 403, 403, 200), "administrator"),
        Entry((401, 403, 403, 403), "teacher"),
    ],
    f"GET {ROOT}/settings/": [Entry((401, 403, 403, 200), "administrator"), Entry((401, 403, 403, 403), "teacher")],
    f"PATCH {ROOT}/settings/": [
        Entry((401, 403, 403, status), right, body=lambda *_: {"enable_notifications": False})
        for right, status in (("administrator", 200), ("teacher", 403))
    ],
}
