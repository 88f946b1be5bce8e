"""`/api/subscriptions`: events for receivers outside. Ring: edge (web). Source: docs/howto/subscriptions.md."""

from __future__ import annotations

import msgspec

from clawgate.domain.caller import Scope
from clawgate.services.subscription_desk import Shown, SubscriptionDesk
from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import Call
from clawgate.web.dialects.subscriptions_wire import subscription_object, whole_object
from clawgate.web.router import Handler, Router

_PATH = "/api/subscriptions"


class SubscriptionsSurface(msgspec.Struct):
    """Looking, and deciding about what does not get through."""

    desk: SubscriptionDesk

    def register(self, router: Router) -> None:
        """Adds the routes."""

        def add(method: str, path: str, handler: Handler, summary: str) -> None:
            router.add(method, _PATH + path, handler, auth=Scope.ADMIN, limiter="api", summary=summary)

        add("GET", "", self.list, "Subscriptions and how it stands with them")
        add("GET", "/<name>", self.show, "A subscription with its last attempts")
        add("POST", "/<name>/pause", self.pause, "Send nothing to a subscriber for now; its line grows")
        add("POST", "/<name>/resume", self.resume, "Send to a subscriber again, at once")
        add("POST", "/<name>/test", self.test, "Put an event for trying things out into a subscriber's line")
        add("POST", "/<name>/drop", self.drop, "Empty a subscriber's line")

    async def list(self, call: Call) -> Answer:
        """All of them, by name."""
        return json_answer(200, {"subscriptions": [subscription_object(shown.line, shown.settings) for shown in await self.desk.list()]})

    async def show(self, call: Call) -> Answer:
        """One of them."""
        return _shown(await self.desk.show(_name(call)))

    async def pause(self, call: Call) -> Answer:
        """The subscription after it."""
        return _shown(await self.desk.pause(_name(call)))

    async def resume(self, call: Call) -> Answer:
        """The subscription after it."""
        return _shown(await self.desk.resume(_name(call)))

    async def test(self, call: Call) -> Answer:
        """The id under which it is sent."""
        return json_answer(202, {"id": await self.desk.test(_name(call))})

    async def drop(self, call: Call) -> Answer:
        """How many went."""
        return json_answer(200, {"dropped": await self.desk.drop(_name(call))})


def _shown(shown: Shown) -> Answer:
    return json_answer(200, whole_object(shown.line, shown.settings, shown.attempts))


def _name(call: Call) -> str:
    return str(call.values["name"])
