"""An authenticator: enrolls for somebody, and gives the codes of a moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pyotp

from tests.harness.world import PASSWORD, Someone, World

FACTOR = "/api/v1/accounts/auth/second-factor"
STEP = timedelta(seconds=30)


@dataclass
class Authenticator:
    """The second factor of one person."""

    world: World
    secret: str
    recovery_codes: list[str]

    @property
    def code(self) -> str:
        """The code of this moment."""
        return pyotp.TOTP(self.secret).at(self.world.clock.now())

    @property
    def fresh_code(self) -> str:
        """A code that was not used: half a minute passes."""
        self.world.clock.advance(STEP)
        return self.code

    @property
    def wrong_code(self) -> str:
        """A code of no step around this moment."""
        near = {pyotp.TOTP(self.secret).at(self.world.clock.now() + off * STEP) for off in range(-2, 3)}
        return next(code for code in (f"{number:06}" for number in range(10)) if code not in near)


async def enrolled(world: World, person: Someone) -> Authenticator:
    """Enroll somebody, in the session that they have."""
    begun = await world.of(person).post(f"{FACTOR}/", {"password": PASSWORD})
    assert begun.status == 200, begun.content
    found = Authenticator(world, begun.data["secret"], [])
    confirmed = await world.of(person).post(f"{FACTOR}/confirm/", {"otp": found.code})
    assert confirmed.status == 200, confirmed.content
    found.recovery_codes = confirmed.data["recovery_codes"]
    return found
