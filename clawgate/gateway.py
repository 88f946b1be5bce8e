"""The façade: one gateway, mountable. Ring: assembly. Source: design §2.

`Gateway.build` makes objects and touches nothing outside the package; work begins when `service` starts. It can be mounted in somebody else's
Twisted process: give `service` a parent and put `resource` anywhere below their site (docs/howto/embed.md). `Daemon` adds what a process of its own
needs: listeners, tunnel, signals' work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from twisted.application.service import IService
from twisted.python.failure import Failure
from twisted.web.resource import IResource

from clawgate.assembly import Assembly
from clawgate.domain.settings import Settings
from clawgate.edges import Edges, Reactor
from clawgate.lifecycle import GatewayService, Lifecycle, Step
from clawgate.services.control_plane import ControlPlane
from clawgate.services.devices import Devices
from clawgate.services.dispatch import Dispatch
from clawgate.services.events import Events
from clawgate.services.health import Health
from clawgate.services.ingress import Ingress
from clawgate.services.pairing import Pairing
from clawgate.services.settings import LiveSettings
from clawgate.services.toolbox import Toolbox
from clawgate.surfaces import build_web
from clawgate.web.resource import GatewayResource
from clawgate.web.router import Router


class Gateway(msgspec.Struct):
    """One gateway.

    Attributes:
        resource: `IResource`, mountable anywhere.
        toolbox: an embedder's own tools for the agent are added here.
        events: what happens, for whoever watches.
        control: the control plane's commands, None = it is off.
        service: `IService`; its `started` fires when the gateway runs.
    """

    settings: Settings
    edges: Edges
    health: Health
    pairing: Pairing
    devices: Devices
    ingress: Ingress
    dispatch: Dispatch
    live: LiveSettings
    toolbox: Toolbox
    events: Events
    router: Router
    web: GatewayResource
    control: ControlPlane | None
    _steps: tuple[Step, ...]
    _outer: tuple[Step, ...] = ()
    _service: GatewayService | None = None

    @classmethod
    def build(
        cls,
        settings: Settings,
        reactor: Reactor,
        edges: Edges | None = None,
        *,
        answers: object = None,
        announce: Callable[[str], None] = lambda code: None,
        pid: int = 0,
        environment: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> Gateway:
        """Makes a gateway; nothing outside the package is read, nothing is opened, bound or started.

        Args:
            edges: None = the real ones.
            answers: an in-process object that answers instead of a vendor; see docs/howto/embed.md.
            announce: is given a pairing code to show to the operator.
            pid: shown by `/health`.
            environment: variables for agents that are child processes.
            variables: those that stand above the configuration's files; None = the files are neither read again nor written.

        Raises:
            Invalid: a setting cannot work.
        """
        edges = edges or Edges.real(settings, reactor, answers, environment, variables)
        parts = Assembly(settings, edges, announce, pid)
        router, web = build_web(parts)
        return cls(
            settings,
            edges,
            parts.health,
            parts.pairing,
            parts.devices,
            parts.ingress,
            parts.dispatch,
            parts.live,
            parts.toolbox,
            parts.events,
            router,
            web,
            parts.control,
            parts.steps(web),
        )

    @property
    def resource(self) -> IResource:
        """For a Site, or for `putChild`."""
        return self.web

    @property
    def service(self) -> IService:
        """For `setServiceParent`, or to be started by hand."""
        return self.lifecycle_service()

    def lifecycle_service(self, on_failed: Callable[[Failure], object] = lambda failure: None) -> GatewayService:
        """The one service of this gateway; `on_failed` of the first call is told why a start failed."""
        if self._service is None:
            self._service = GatewayService(Lifecycle((*self._steps, *self._outer, self._pairing_step()), self.edges.clock), on_failed)
        return self._service

    def _pairing_step(self) -> Step:
        """Last: a code is announced when it can be used."""

        async def stop() -> None:
            self.pairing.stop()

        return Step("pairing", self.pairing.start, stop)

    def add_steps(self, *steps: Step) -> None:
        """Steps around the gateway: started after it, stopped before it. Only before the service is first asked for."""
        self._outer = (*self._outer, *steps)
