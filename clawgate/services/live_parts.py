"""What follows the settings: channels, the model, MCP servers, paired tokens. Ring: services. Source: design §6; rantaiclaw.md §2 (hot reload), §15.

Each implements `ports.parts.LivePart`. Parts that read a setting where they use it need no part.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from clawgate.domain.errors import GatewayError, NotApplied, NotFound
from clawgate.domain.mcp import MOST_SERVERS
from clawgate.domain.settings import Settings
from clawgate.domain.settings.model import McpServer
from clawgate.ports.agents import AgentBackend
from clawgate.ports.channels import Channel
from clawgate.ports.events import ComponentHealth
from clawgate.ports.parts import Prepared
from clawgate.services.backends import Backends
from clawgate.services.channels import Channels
from clawgate.services.delivery import Delivery
from clawgate.services.devices import Devices
from clawgate.services.mcp import McpServers

_log = Logger()
MCP_START_SECONDS = 20.0

_Work = Callable[[], Coroutine[Deferred[Any], Any, None]]  # Any: what Deferreds in it fire with


async def _nothing() -> None:
    """A half of a preparation that has nothing to do."""


def _no_change() -> None:
    """A commit that has nothing to do."""


class Swap(msgspec.Struct, eq=False):
    """A `Prepared` made of functions."""

    on_commit: Callable[[], None] = _no_change
    on_abandon: _Work = _nothing
    on_retire: _Work = _nothing

    def commit(self) -> None:
        """See `Prepared.commit`."""
        self.on_commit()

    async def abandon(self) -> None:
        """See `Prepared.abandon`."""
        await self.on_abandon()

    async def retire(self) -> None:
        """See `Prepared.retire`."""
        await self.on_retire()


class ChannelsPart(msgspec.Struct, eq=False):
    """Channels come, change and go; those whose settings are the same stay as they are, connections and all.

    Attributes:
        build: makes the channels of settings; no I/O.
    """

    channels: Channels
    delivery: Delivery
    health: ComponentHealth
    build: Callable[[Settings], Mapping[str, Channel]]
    name: str = "channels"

    async def prepare(self, old: Settings, new: Settings) -> Prepared | None:
        """Builds those that differ. Raises Invalid."""
        sections = type(new.channels_config).__struct_fields__
        differing = {name for name in sections if getattr(old.channels_config, name) != getattr(new.channels_config, name)}
        if not differing:
            return None
        built = {name: channel for name, channel in self.build(new).items() if name in differing}
        fresh = {name: channel for name, channel in built.items() if channel is not self.channels.get(name)}
        next_ = {name: channel for name, channel in self.channels.items() if name not in differing} | built
        replaced = {name: channel for name, channel in self.channels.items() if next_.get(name) is not channel}

        def commit() -> None:
            self.channels.replace(next_)
            self.delivery.follow()
            for name in replaced.keys() - next_.keys():
                self.health.forget(f"channel:{name}")
            for name in fresh:
                self.health.ok(f"channel:{name}")

        async def abandon() -> None:
            for channel in fresh.values():
                await channel.stop()

        async def retire() -> None:
            try:
                for channel in replaced.values():
                    await self.delivery.ended(channel)
            finally:  # cancelled, it waits no longer
                for channel in replaced.values():
                    await channel.stop()

        return Swap(commit, abandon, retire)


class ModelPart(msgspec.Struct, eq=False):
    """Who answers: built and started anew when provider, model, key or URL differ."""

    backends: Backends
    build: Callable[[Settings], AgentBackend]
    name: str = "default_provider"

    async def prepare(self, old: Settings, new: Settings) -> Prepared | None:
        """Starts the new backend beside the one that works. Raises Invalid, NotApplied."""
        if _who_answers(old) == _who_answers(new):
            return None
        backend = self.build(new)
        if backend is self.backends.current:
            return None
        try:
            await backend.start()
        except CancelledError:
            await backend.stop()
            raise
        except Exception as problem:
            await backend.stop()
            text = str(problem) if isinstance(problem, GatewayError) else f"could not be started ({type(problem).__name__})"
            raise NotApplied({self.name: text}) from problem
        close: list[Callable[[], Deferred[None]]] = []

        async def abandon() -> None:
            await backend.stop()

        async def retire() -> None:
            await close.pop()()

        return Swap(lambda: close.append(self.backends.swap(backend)), abandon, retire)


def _who_answers(settings: Settings) -> tuple[object, ...]:
    return settings.default_provider, settings.default_model, settings.api_key, settings.api_url, settings.provider_keys


class McpPart(msgspec.Struct, eq=False):
    """MCP servers: new ones are started before anything is taken up, removed ones end afterwards.

    Two of one name cannot run side by side, and no more than ten in all: one that changed, and one that makes room, is ended before its successor is started,
    and brought back if the change fails.
    """

    servers: McpServers
    name: str = "mcp_servers"

    async def prepare(self, old: Settings, new: Settings) -> Prepared | None:
        """Starts what is new or differs. Raises NotApplied, naming each server that does not start."""
        wanted = {name: server for name, server in new.mcp_servers.items() if old.mcp_servers.get(name) != server}
        gone = [name for name in old.mcp_servers if name not in new.mcp_servers]
        if not wanted and not gone:
            return None
        if len(new.mcp_servers) > MOST_SERVERS and len(new.mcp_servers) > len(old.mcp_servers):
            raise NotApplied({name: f"MCP server limit reached (max {MOST_SERVERS})" for name in wanted if name not in old.mcp_servers})
        begun: list[str] = []

        async def abandon() -> None:
            for name in reversed(begun):
                await self._back(name, old.mcp_servers.get(name))

        async def retire() -> None:
            for name in gone:
                await self._stop(name)

        try:
            if len({*old.mcp_servers, *new.mcp_servers}) > MOST_SERVERS:
                begun += gone
                await retire()
            await self._start(wanted, old, begun)
        except BaseException:
            await abandon()
            raise
        return Swap(on_abandon=abandon, on_retire=retire)

    async def _start(self, wanted: Mapping[str, McpServer], old: Settings, begun: list[str]) -> None:
        errors: dict[str, str] = {}
        for name, server in wanted.items():
            begun.append(name)
            if name in old.mcp_servers:
                await self._stop(name)
            try:
                await self.servers.try_start(name, server, MCP_START_SECONDS)
            except GatewayError as problem:
                errors[name] = str(problem)
        if errors:
            raise NotApplied(errors)

    async def _stop(self, name: str) -> None:
        try:
            await self.servers.stop(name)
        except NotFound:
            pass

    async def _back(self, name: str, before: McpServer | None) -> None:
        await self._stop(name)
        if before is not None:
            try:
                await self.servers.start(name, before)
            except GatewayError as problem:
                _log.error("MCP server {name} could not be brought back: {problem}", name=name, problem=str(problem))


class TokensPart(msgspec.Struct, eq=False):
    """The list of paired tokens in the file: what a hand took out is revoked."""

    devices: Devices
    name: str = "gateway.paired_tokens"
    _writes: int = 0

    def reading(self) -> None:
        """The files are about to be read; lists that we write from here on are newer than what comes of it."""
        self._writes = self.devices.writes

    async def prepare(self, old: Settings, new: Settings) -> Prepared | None:
        """Nothing is revoked before the change is certain."""
        writes = self._writes

        async def adopt() -> None:
            await self.devices.adopt(new.gateway.paired_tokens, list_present=new.paired_tokens_present, writes=writes)

        return Swap(on_retire=adopt)
