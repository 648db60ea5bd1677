"""The rows of the permission table that are about one's own account and about teacher applications."""

from __future__ import annotations

from tests.harness.world import PASSWORD
from tests.security.entries import ANYBODY, API, Entry, Scene

AUTH = f"{API}/accounts/auth"
SESSIONS = f"{API}/accounts/sessions"
APPROVALS = f"{API}/teacher-approvals"
NEW = "seven quiet lanterns 41"
# What is about the account itself is not of an organization: the header of another one is answered like any other.
ACCOUNT = (401, 200, 403, 200)
NO_LINK = (400, 400, 400, 400)


def own_application(scene: Scene) -> str:
    return f"{APPROVALS}/{scene.at.application}/"


ACCOUNTS: dict[str, list[Entry]] = {
    "GET /.well-known/jwks.json": [Entry(ANYBODY)],
    f"POST {AUTH}/password/change/": [
        Entry(
            ACCOUNT,
            body=lambda *_: {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW},
        )
    ],
    f"POST {AUTH}/password-reset/": [Entry(ANYBODY, body=lambda s, who: {"email": (who or s.learner).email})],
    f"POST {AUTH}/password-reset-confirm/": [
        Entry(NO_LINK, body=lambda *_: {"token": "x" * 48, "password": NEW, "password_confirm": NEW})
    ],
    f"POST {AUTH}/email/verification/": [Entry(ACCOUNT)],
    f"POST {AUTH}/email/verify/": [Entry(NO_LINK, body=lambda *_: {"token": "x" * 48})],
    f"POST {AUTH}/email/change/": [
        Entry(ACCOUNT, body=lambda *_: {"email": "somebody.new@example.org", "password": PASSWORD})
    ],
    f"POST {AUTH}/email/confirm/": [Entry((401, 400, 403, 400), body=lambda *_: {"token": "x" * 48})],
    f"POST {AUTH}/logout/all/": [Entry((401, 200, 200, 200))],
    f"GET {SESSIONS}/": [Entry(ACCOUNT)],
    f"POST {SESSIONS}/end/": [Entry(ACCOUNT)],
    f"DELETE {SESSIONS}/{{id:uuid}}/": [
        Entry((401, 404, 403, 200), path=lambda s: f"{SESSIONS}/{s.at.teacher.session_id}/")
    ],
    f"POST {APPROVALS}/": [Entry((401, 201, 403, 201))],
    f"GET {APPROVALS}/{{id:uuid}}/": [
        Entry((401, 404, 404, 200), right, own_application) for right in ("applicant", "administrator")
    ],
    f"PATCH {APPROVALS}/{{id:uuid}}/": [
        Entry((401, 404, 404, 200), "applicant", own_application, lambda *_: {"education": "Physics"}),
        Entry((401, 404, 404, 403), "administrator", own_application, lambda *_: {"education": "Physics"}),
        Entry((401, 404, 404, 200), "administrator", own_application, lambda *_: {"status": "approved"}),
        Entry((401, 404, 404, 403), "applicant", own_application, lambda *_: {"status": "approved"}),
    ],
    f"POST {APPROVALS}/{{id:uuid}}/reject/": [
        Entry((401, 404, 404, status), right, lambda s: f"{own_application(s)}reject/")
        for right, status in (("administrator", 200), ("applicant", 403), ("teacher", 404))
    ],
    # The file of the scene is its teacher's, so that even the applicant finds none of that id.
    f"POST {APPROVALS}/{{id:uuid}}/documents/": [
        Entry(
            (401, 404, 404, status),
            right,
            lambda s: f"{own_application(s)}documents/",
            lambda s, _: {"file_id": s.private_file},
        )
        for right, status in (("applicant", 404), ("administrator", 404))
    ],
    f"DELETE {APPROVALS}/{{id:uuid}}/documents/{{file_id:uuid}}/": [
        Entry((401, 404, 404, status), right, lambda s: f"{own_application(s)}documents/{s.private_file}/")
        for right, status in (("applicant", 200), ("administrator", 403))
    ],
}

FACTOR = f"{AUTH}/second-factor"
# Without a client id Google is not offered; tests/security/test_google.py offers it.
ACCOUNTS[f"POST {AUTH}/google/"] = [Entry((409, 409, 409, 409), body=lambda *_: {"access_token": "x"})]
ACCOUNTS |= {
    f"GET {FACTOR}/": [Entry(ACCOUNT)],
    f"POST {FACTOR}/": [Entry(ACCOUNT, body=lambda *_: {"password": PASSWORD})],
    f"POST {FACTOR}/confirm/": [Entry((401, 409, 403, 409), body=lambda *_: {"otp": "000000"})],
    f"POST {FACTOR}/recovery-codes/": [Entry((401, 409, 403, 409), body=lambda *_: {"otp": "000000"})],
    f"POST {FACTOR}/disable/": [Entry((401, 409, 403, 409), body=lambda *_: {"otp": "000000"})],
    f"POST {AUTH}/step-up/": [Entry(ACCOUNT, body=lambda *_: {"password": PASSWORD})],
    # The platform's administrators alone.
    f"POST {API}/users/{{id:uuid}}/reset_second_factor/": [
        Entry((401, 403, 403, 403), "administrator", lambda s: f"{API}/users/{s.at.student.id}/reset_second_factor/")
    ],
}
