"""`/config/*`: the configuration seen and patched while running. Ring: edge (web). Source: rantaiclaw.md §15, §16; design §4.11.

Patches go to config.runtime.toml and are in force when the answer is sent; one that fails has changed nothing. Order of checks: limiter · bearer with `admin` ·
body · the whole configuration · every part of the gateway · the file.
"""

from __future__ import annotations

from functools import partial

import msgspec

from clawgate.domain.caller import Scope
from clawgate.domain.health import Status
from clawgate.domain.settings import Settings
from clawgate.domain.settings import requests as asked
from clawgate.domain.settings.edits import Edit, Target
from clawgate.domain.settings.masking import masked
from clawgate.services.channels import Channels
from clawgate.services.health import Health
from clawgate.services.mcp import McpServers
from clawgate.services.settings import LiveSettings
from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import Call
from clawgate.web.dialects import config_wire as wire
from clawgate.web.documented import documented
from clawgate.web.router import Handler, Router


class LiveConfigSurface(msgspec.Struct):
    """The routes.

    Attributes:
        kinds: names of the channels there can be.
    """

    live: LiveSettings
    channels: Channels
    servers: McpServers
    health: Health
    kinds: tuple[str, ...]

    def register(self, router: Router) -> None:
        """Adds the routes."""

        def add(method: str, path: str, handler: Handler, summary: str) -> None:
            # A server or a model may take longer to start than other answers may: the parts keep the time.
            is_timed = method == "GET"
            router.add(method, path, handler, auth=Scope.ADMIN, limiter="api", dialect=wire.refusal, timed=is_timed, summary=summary)

        add("GET", "/config", self.show, "The whole configuration, secrets masked")
        add("GET", "/config/channels", self.show_channels, "How each channel is")
        add("GET", "/config/mcp-servers", self.show_servers, "How each MCP server is")
        add("PATCH", "/config/channels", self.patch_channels, "Set channels; null removes")
        add("PATCH", "/config/mcp-servers", self.patch_servers, "Set MCP servers; null removes")
        add("PATCH", "/config/model", self.patch_model, "Change provider, model, temperature")
        add("PATCH", "/config/tools", self.patch_tools, "Change which tools run unasked")
        add("PATCH", "/config/agent", self.patch_agent, "Change the agent's instructions and files")

    async def show(self, call: Call) -> Answer:
        """Every setting in force."""
        return json_answer(200, wire.applied(masked(self.live.settings)))

    async def show_channels(self, call: Call) -> Answer:
        """The configured ones."""
        components = self.health.snapshot().components
        states: dict[str, tuple[str, str | None]] = {}
        for name in {*self.channels, *(kind for kind in self.kinds if getattr(self.live.settings.channels_config, kind, None) is not None)}:
            report = components.get(f"channel:{name}")
            if report is not None and report.status == Status.ERROR.value:
                states[name] = "Error", report.last_error or ""
            else:
                states[name] = ("Running" if name in self.channels else "Stopped"), None
        return json_answer(200, wire.applied(wire.status_object(states)))

    async def show_servers(self, call: Call) -> Answer:
        """The configured ones."""
        return json_answer(200, wire.applied(wire.status_object(self.servers.status())))

    @documented(body=wire.Tables)
    async def patch_channels(self, call: Call) -> Answer:
        """`applied` are the names."""
        wanted = call.json(wire.Tables)
        changes = await self.live.change(partial(asked.channels_edit, wanted=wanted, supported=self.kinds), call.caller.principal)
        return json_answer(200, wire.applied(list(wanted), changes))

    @documented(body=wire.Tables)
    async def patch_servers(self, call: Call) -> Answer:
        """`applied` are the names."""
        wanted = call.json(wire.Tables)
        changes = await self.live.change(partial(asked.mcp_edit, wanted=wanted), call.caller.principal)
        return json_answer(200, wire.applied(list(wanted), changes))

    @documented(body=wire.ModelBody)
    async def patch_model(self, call: Call) -> Answer:
        """`applied` are the keys that were asked for, as they are now."""
        body = call.json(wire.ModelBody)

        def edit(settings: Settings) -> Edit:
            return asked.model_edit(settings, Target.OVERLAY, body.provider, body.model, body.temperature)

        changes, settings = await self.live.change(edit, call.caller.principal), self.live.settings
        given = {"default_provider": body.provider, "default_model": body.model, "default_temperature": body.temperature}
        return json_answer(200, wire.applied({name: getattr(settings, name) for name, value in given.items() if value is not None}, changes))

    @documented(body=wire.ToolsBody)
    async def patch_tools(self, call: Call) -> Answer:
        """`applied` is the list, if it was sent."""
        body = call.json(wire.ToolsBody)
        changes = await self.live.change(lambda _: asked.tools_edit(body.auto_approve), call.caller.principal)
        return json_answer(200, wire.applied({} if body.auto_approve is None else {"auto_approve": body.auto_approve}, changes))

    @documented(body=wire.AgentBody)
    async def patch_agent(self, call: Call) -> Answer:
        """`applied` says whether there is a new prompt, and which files were written."""
        body = call.json(wire.AgentBody)
        changes = await self.live.change(lambda _: asked.agent_edit(body.system_prompt, body.workspace_files), call.caller.principal)
        prompt = {} if body.system_prompt is None else {"system_prompt": True}
        files = {"workspace_files": list(body.workspace_files)} if body.workspace_files else {}
        return json_answer(200, wire.applied(prompt | files, changes))
