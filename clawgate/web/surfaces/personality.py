"""`/api/v1/personality`: who the agent says it is. Ring: edge (web). Source: rantaiclaw.md §10 (Personality)."""

from __future__ import annotations

from functools import partial

import msgspec

from clawgate.domain.caller import Scope
from clawgate.domain.personality import Change
from clawgate.services.personality import Personalities
from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import Call
from clawgate.web.dialects import api_wire
from clawgate.web.dialects.personality_wire import shown, written
from clawgate.web.documented import documented
from clawgate.web.router import Recorded, Router

_PATH = "/api/v1/personality"


class PersonalitySurface(msgspec.Struct):
    """Looking at it and changing it."""

    personalities: Personalities

    def register(self, router: Router) -> None:
        """Adds the routes."""
        add = partial(router.add, limiter="api", dialect=api_wire.refusal)
        add("GET", _PATH, self.show, auth=Scope.READ, summary="Who the agent says it is")
        about = "Change preset, name, role, tone or what to avoid"
        add("PUT", _PATH, self.change, auth=Scope.WRITE, recorded=Recorded.ALWAYS, summary=about)

    async def show(self, call: Call) -> Answer:
        """The personality, or that there is none."""
        return json_answer(200, shown(self.personalities.profile, await self.personalities.current()))

    @documented(body=Change)
    async def change(self, call: Call) -> Answer:
        """The personality after the change."""
        return json_answer(200, written(await self.personalities.change(call.json(Change))))
