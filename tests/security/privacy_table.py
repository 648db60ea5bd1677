"""The rows of the permission table that are about one's own data."""

from __future__ import annotations

from tests.harness.world import PASSWORD
from tests.security.entries import API, ONE_S_OWN, Entry

PRIVACY: dict[str, list[Entry]] = {
    f"GET {API}/users/export-data/": [Entry(ONE_S_OWN), Entry(ONE_S_OWN, "administrator")],
    f"POST {API}/users/delete-account/": [
        Entry(ONE_S_OWN, body=lambda *_: {"password": PASSWORD}),
        Entry((401, 200, 403, 409), "administrator", body=lambda *_: {"password": PASSWORD}),
        Entry((401, 400, 403, 400), body=lambda *_: {"password": "something else"}),
    ],
}
