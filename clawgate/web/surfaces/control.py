"""The operator's look at the control plane's token. Ring: edge (web). Source: design §4.18."""

from __future__ import annotations

import msgspec

from clawgate.domain.caller import OPERATOR
from clawgate.domain.errors import Forbidden, NotConfigured
from clawgate.domain.times import rfc3339
from clawgate.services.control_plane import ControlPlane
from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import Call
from clawgate.web.documented import documented
from clawgate.web.router import Door, Recorded, Router


class ControlSurface(msgspec.Struct):
    """Which token counts now.

    Attributes:
        plane: None = it is not served.
    """

    plane: ControlPlane | None

    def register(self, router: Router) -> None:
        """Adds the route."""
        router.add("GET", "/admin/control/token", self.token, auth=Door.LOCAL, recorded=Recorded.ALWAYS, summary="The control plane's token")

    @documented(raises=(NotConfigured,))
    async def token(self, call: Call) -> Answer:
        """Through the control socket only: it may exchange the provider."""
        if self.plane is None:
            raise NotConfigured("Control plane ([control] enabled)")
        if call.caller.principal != OPERATOR:
            raise Forbidden("Forbidden — through the daemon's control socket only")
        token = self.plane.tokens.current()
        return json_answer(200, {"token": token.text.reveal(), "token_id": token.id, "expires_at": rfc3339(token.expires_ms)})
