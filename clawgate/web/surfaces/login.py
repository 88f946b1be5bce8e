"""`POST /login`: a console checks a name and a password; no token is issued. Ring: edge (web). Source: rantaiclaw.md §5."""

from __future__ import annotations

import msgspec

from clawgate.domain.errors import NotFound
from clawgate.services.login import Login
from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import Call
from clawgate.web.dialects import login_wire
from clawgate.web.documented import documented
from clawgate.web.router import Door, Router


class LoginBody(msgspec.Struct):
    """What a console sends."""

    username: str
    password: str


class LoginSurface(msgspec.Struct):
    """The console's door."""

    login: Login

    def register(self, router: Router) -> None:
        """Adds the route."""
        router.add(
            "POST",
            "/login",
            self.check,
            auth=Door.SIGNED,
            limiter="pair",
            dialect=login_wire.refusal,
            summary="Check the console's name and password",
        )

    @documented(body=LoginBody, raises=(NotFound,))
    async def check(self, call: Call) -> Answer:
        """200 when both are right."""
        body = call.json(LoginBody)
        await self.login.check(body.username, body.password, call.peer)
        return json_answer(200, {"ok": True})
