"""`GET /pair/page`: a page where a person with a code gets a token. Ring: edge (web). Source: the spine's issue; CVE-2026-25253.

The page talks to its own origin only and takes no address and no token from its URL. A code may stand in the fragment (the QR puts it there), which browsers
do not send and servers do not log; the person still has to press the button.
"""

from __future__ import annotations

from importlib.resources import files

import msgspec

from clawgate.web.answers import HTML, Answer
from clawgate.web.call import Call
from clawgate.web.documented import documented
from clawgate.web.router import Door, Router


class WelcomeSurface(msgspec.Struct):
    """The page behind the QR."""

    page: bytes

    @classmethod
    def load(cls) -> WelcomeSurface:
        """The page that ships with the package."""
        return cls(files("clawgate.web").joinpath("pair.html").read_bytes())

    def register(self, router: Router) -> None:
        """Adds the route."""
        router.add("GET", "/pair/page", self.show, auth=Door.PUBLIC, limiter="api", summary="A page for pairing by hand")

    @documented(gives=("text/html",))
    async def show(self, call: Call) -> Answer:
        """The page, the same for everybody."""
        return Answer(200, self.page, HTML)
