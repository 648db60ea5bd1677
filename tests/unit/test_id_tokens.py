"""Which ID tokens prove something, and which provider's addresses are called, without a provider."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from joserfc import jws, jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OctKey, RSAKey

from edurise.adapters.id_tokens import Expected, Refused, UnknownKey, verified
from edurise.adapters.people_elsewhere import names_of
from edurise.errors import Invalid
from edurise.identity import issuers, mailboxes

NOW = 1_800_000_000
EXPECTED = Expected("https://issuer.example", "edurise", "n-1", NOW)
CLAIMS = {"iss": EXPECTED.issuer, "aud": "edurise", "nonce": "n-1", "iat": NOW, "exp": NOW + 300, "sub": "s"}
RSA = RSAKey.generate_key(2048)


def published(key: Any, **more: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": "k", **more}


def signed(key: Any, header: dict[str, Any] | None = None, **claims: Any) -> str:
    told = {"alg": "RS256", "kid": "k", **(header or {})}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        return jwt.encode(told, CLAIMS | claims, key, registry=jws.JWSRegistry(algorithms=[told["alg"]]))


def test_a_good_token_is_taken_with_a_kid_or_with_the_only_key() -> None:
    assert verified(signed(RSA), [published(RSA)], EXPECTED)["sub"] == "s"
    without = jwt.encode({"alg": "RS256"}, CLAIMS, RSA)
    assert verified(without, [published(RSA)], EXPECTED)["sub"] == "s"
    with pytest.raises(Refused):
        verified(without, [published(RSA), published(RSA, kid="other")], EXPECTED)


@pytest.mark.parametrize(
    ("key", "algorithm", "told"),
    [
        pytest.param(RSA, "RS256", {"use": "enc"}, id="a key for encryption"),
        pytest.param(RSA, "RS256", {"alg": "PS256"}, id="a key for another algorithm"),
        pytest.param(RSA, "RS256", {"kid": "other"}, id="another kid"),
        pytest.param(ECKey.generate_key("P-256"), "ES256", {"kty": "RSA"}, id="a key of another type"),
    ],
)
def test_a_key_that_does_not_fit_is_not_taken(key: Any, algorithm: str, told: dict[str, Any]) -> None:
    with pytest.raises(UnknownKey):
        verified(signed(key, {"alg": algorithm}), [published(key, **told)], EXPECTED)


def test_weak_and_shared_keys_are_not_taken() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        weak = RSAKey.generate_key(1024)
        weak_one, key = signed(weak), published(weak)
    with pytest.raises(Refused, match="key"):
        verified(weak_one, [key], EXPECTED)
    shared = OctKey.generate_key(256)
    with pytest.raises(Refused, match="algorithm"):
        verified(signed(shared, {"alg": "HS256"}), [{**shared.as_dict(private=True), "kid": "k"}], EXPECTED)


@pytest.mark.parametrize("token", [None, 1, "", "a.b", "a.b.c.d", "....", "x" * 40_000, "eyJ9.e30.x", "W10.e30.x"])
def test_what_is_no_token_is_refused(token: object) -> None:
    with pytest.raises(Refused):
        verified(token, [published(RSA)], EXPECTED)


def test_a_changed_token_and_one_with_demands_of_its_own_are_refused() -> None:
    head, body, tag = signed(RSA).split(".")
    other = signed(RSA, sub="another").split(".")[1]
    for token in (f"{head}.{other}.{tag}", f"{head}.{body}.{tag[:-4]}AAAA", f"{head}.{body}."):
        with pytest.raises(Refused):
            verified(token, [published(RSA)], EXPECTED)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "224.0.0.1", "240.0.0.1"),
        *("::1", "::", "fe80::1%eth0", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "x", ""),
    ],
)  # fmt: skip
def test_addresses_inside_are_not_public(address: str) -> None:
    assert not issuers.is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700:4700::1111", "::ffff:93.184.216.34"])
def test_addresses_outside_are_public(address: str) -> None:
    assert issuers.is_public(address)


@pytest.mark.parametrize(
    "issuer",
    [
        "http://x.example",
        "https://x.example#a",
        "https://x.example?",
        "https://x y",
        "https://x\\y",
        "https://x:0",
        "x",
    ],
)
def test_an_issuer_that_is_none(issuer: str) -> None:
    with pytest.raises(Invalid):
        issuers.checked(issuer, private=False)


def test_an_issuer_is_kept_letter_by_letter() -> None:
    assert issuers.checked("https://X.example/Realm/", private=False) == "https://X.example/Realm/"


@pytest.mark.parametrize(
    ("claims", "names"),
    [
        ({"given_name": " Ada ", "family_name": "Byron", "name": "x"}, ("Ada", "Byron")),
        ({"name": "Augusta Ada Byron"}, ("Augusta Ada", "Byron")),
        ({"name": "Ada"}, ("Ada", "")),
        ({"given_name": ["Ada"], "name": 5}, ("", "")),
        ({"given_name": "A\r\nBcc: x\x00"}, ("A Bcc: x", "")),
        ({"given_name": "x" * 5000}, ("x" * 100, "")),
    ],
)
def test_names(claims: dict[str, Any], names: tuple[str, str]) -> None:
    assert names_of(claims) == names


def test_addresses_have_one_form() -> None:
    assert mailboxes.normal(" Ada@MÜLLER.example ") == "Ada@xn--mller-kva.example"
    for value in ("ada", "ada@localhost", "a b@x.example", "a@x.example\n.evil", "@x.example", f"{'a' * 65}@x.example"):
        assert mailboxes.normal(value) is None
