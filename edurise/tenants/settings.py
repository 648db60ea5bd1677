"""The settings of an organization: a registry of what there is, of which type, and what counts without a choice.

A setting has one name in the code and in the database; ``camel`` is how the reference client spells it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edurise.errors import Invalid, Problem
from edurise.texts.catalogue import languages

ROLES = ("student", "teacher", "admin")


@dataclass(frozen=True)
class Setting:
    """One setting. ``check`` returns the value as it is stored, or the problem with it."""

    name: str
    camel: str
    default: Any
    check: Callable[[Any], Any]
    about: str


def _is_bool(value: Any) -> Any:
    return value if isinstance(value, bool) else Problem("not_boolean")


def _minutes(least: int, most: int) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            return Problem("not_an_integer")
        return value if least <= value <= most else Problem("out_of_range", {"min": least, "max": most})

    return check


def _some_of(allowed: tuple[str, ...], *, least: int = 0) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            return Problem("not_a_list")
        if not set(value) <= set(allowed):
            return Problem("bad_choice", {"choices": ", ".join(allowed)})
        if len(value) < least:
            return Problem("required")
        return [one for one in allowed if one in value]

    return check


_ALL = (
    Setting(
        "allow_self_registration",
        "allowSelfRegistration",
        True,
        _is_bool,
        "Whether somebody may register here without an invitation.",
    ),
    Setting(
        "require_email_verification",
        "requireEmailVerification",
        False,
        _is_bool,
        "Whether a member must have shown that their address is theirs.",
    ),
    Setting("enable_notifications", "enableNotifications", True, _is_bool, "Whether members are told what happens."),
    Setting(
        "session_idle_minutes",
        "sessionIdleMinutes",
        None,
        _minutes(15, 43_200),
        "A session of a member that is not used for so long ends. The strictest of a person's organizations counts.",
    ),
    Setting(
        "session_absolute_hours",
        "sessionAbsoluteHours",
        None,
        _minutes(1, 8_760),
        "A session of a member ends after so long, however much it is used. The strictest counts.",
    ),
    Setting(
        "otp_roles",
        "otpRoles",
        [],
        _some_of((*ROLES, "platform")),
        "Roles that count only with a second factor; in main, ``platform`` stands for platform administrators.",
    ),
    Setting(
        "languages",
        "languages",
        list(languages()),
        _some_of(languages(), least=1),
        "The languages that this organization offers.",
    ),
)
SETTINGS: Mapping[str, Setting] = {one.name: one for one in _ALL}
_BY_CAMEL = {one.camel: one.name for one in _ALL}


def effective(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting by its name, with the default where nothing else was chosen."""
    return {name: stored.get(name, one.default) for name, one in SETTINGS.items()}


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The chosen settings as they are stored, by name, from either spelling. Raises Invalid with each fault."""
    found: dict[str, Any] = {}
    faults: dict[str, list[Problem]] = {}
    for spelled, value in given.items():
        setting = SETTINGS.get(_BY_CAMEL.get(spelled, spelled))
        outcome = Problem("unknown_field") if setting is None else setting.check(value)
        if isinstance(outcome, Problem):
            faults[spelled] = [outcome]
        elif setting is not None:
            found[setting.name] = outcome
    if faults:
        raise Invalid(errors=faults)
    return found


def in_camel(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values under the reference client's names."""
    return {SETTINGS[name].camel: value for name, value in values.items()}
