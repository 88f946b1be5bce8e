"""`/api/openapi.json`: the document of all routes, for programs. Ring: edge (web). Source: design §3."""

from __future__ import annotations

import msgspec

from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import Call
from clawgate.web.openapi import document
from clawgate.web.router import Door, Router


class OpenApiSurface(msgspec.Struct):
    """The document of the router that it is registered with; made when it is first asked for.

    Attributes:
        prefix: `gateway.path_prefix`.
    """

    version: str
    prefix: str
    _router: Router | None = None
    _made: Answer | None = None

    def register(self, router: Router) -> None:
        """Adds the route."""
        self._router = router
        router.add("GET", "/api/openapi.json", self.show, auth=Door.PUBLIC, limiter="api", summary="This interface as OpenAPI 3.1")

    async def show(self, call: Call) -> Answer:
        """The same bytes every time: routes do not change while the gateway runs."""
        if self._made is None:
            routes = self._router.routes if self._router is not None else ()
            self._made = json_answer(200, document(routes, self.version, self.prefix))
        return self._made
