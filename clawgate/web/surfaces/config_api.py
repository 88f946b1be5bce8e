"""`/api/v1/config*` and `/api/v1/secrets`: the user's config.toml, changed through the API. Ring: edge (web). Source: rantaiclaw.md §11; design §4.11.

What is written here goes to config.toml, comments kept, and is in force at once; upstream's reaches new agents only. An entry of
config.runtime.toml for the same key is dropped: this is the newer word.
"""

from __future__ import annotations

import msgspec

from clawgate.domain.caller import Scope
from clawgate.domain.errors import BadRequest, NotFound
from clawgate.domain.redaction import Redactor
from clawgate.domain.settings import Settings
from clawgate.domain.settings import requests as asked
from clawgate.domain.settings.edits import Edit, Target
from clawgate.domain.settings.masking import masked
from clawgate.services.settings import LiveSettings
from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import Call
from clawgate.web.dialects import config_wire as wire
from clawgate.web.documented import documented
from clawgate.web.router import Handler, Router

_redactor = Redactor()


class ConfigApiSurface(msgspec.Struct):
    """The routes.

    Attributes:
        kinds: names of the channels there can be.
    """

    live: LiveSettings
    kinds: tuple[str, ...]

    def register(self, router: Router) -> None:
        """Adds the routes."""

        def add(method: str, path: str, handler: Handler, summary: str) -> None:
            is_timed, path = method == "GET", f"/api/v1{path}"
            router.add(method, path, handler, auth=Scope.ADMIN, limiter="api", dialect=wire.api_refusal, timed=is_timed, summary=summary)

        add("GET", "/config", self.show, "The whole configuration, secrets masked")
        add("PUT", "/config/model", self.put_model, "Change provider, model, temperature in config.toml")
        add("PUT", "/config/autonomy", self.put_autonomy, "Change what the agent may do unasked")
        add("POST", "/config/mcp_servers/<name>", self.put_server, "Set an MCP server")
        add("DELETE", "/config/mcp_servers/<name>", self.delete_server, "Remove an MCP server")
        add("GET", "/config/knowledge", self.show_knowledge, "Whether the knowledge base is on")
        add("PUT", "/config/knowledge", self.put_knowledge, "Turn the knowledge base on or off")
        add("GET", "/secrets", self.show_secrets, "Which secrets there are, without them")
        add("PUT", "/secrets", self.put_secrets, "Set or clear the provider's key and URL")
        add("POST", "/channels/telegram", self.telegram, "Refused: there is no Telegram")
        add("DELETE", "/channels/telegram", self.no_telegram, "Refused: there is no Telegram")

    @property
    def _settings(self) -> Settings:
        return self.live.settings

    async def show(self, call: Call) -> Answer:
        """Every setting in force."""
        return json_answer(200, masked(self._settings))

    @documented(body=wire.ModelBody)
    async def put_model(self, call: Call) -> Answer:
        """What is in force now, and a warning when it has no key."""
        body = call.json(wire.ModelBody)
        await self.live.change(
            lambda settings: asked.model_edit(settings, Target.FILE, body.provider, body.model, body.temperature), call.caller.principal
        )
        return json_answer(200, wire.model_object(self._settings))

    @documented(body=wire.AutonomyBody)
    async def put_autonomy(self, call: Call) -> Answer:
        """The whole section as it is now."""
        body = call.json(wire.AutonomyBody)
        await self.live.change(lambda _: asked.autonomy_edit(body.given()), call.caller.principal)
        return json_answer(200, wire.autonomy_object(self._settings.autonomy))

    @documented(body=wire.McpBody)
    async def put_server(self, call: Call) -> Answer:
        """Replaces silently, as upstream; the answer comes when it works."""
        name, body = call.values["name"], call.json(wire.McpBody)
        if not name.strip():
            raise BadRequest("server name must not be empty")
        if not body.command.strip() and not body.url.strip():
            raise BadRequest("command must not be empty")
        await self.live.change(lambda settings: asked.mcp_edit(settings, {name: body.table()}, Target.FILE), call.caller.principal)
        return json_answer(200, {"name": name, "added": True, "count": len(self._settings.mcp_servers)})

    async def delete_server(self, call: Call) -> Answer:
        """`removed` says whether there was one."""
        name = call.values["name"]
        removed = name in self._settings.mcp_servers
        if removed:
            await self.live.change(lambda settings: _without(settings, name), call.caller.principal)
        return json_answer(200, {"name": name, "removed": removed, "count": len(self._settings.mcp_servers)})

    async def show_knowledge(self, call: Call) -> Answer:
        """`source` says where the key for embeddings comes from."""
        own = self._settings.knowledge
        return json_answer(200, wire.knowledge_object(own) | {"source": "config" if own.embedding_api_key else "none"})

    @documented(body=wire.KnowledgeBody)
    async def put_knowledge(self, call: Call) -> Answer:
        """Keys are kept for other programs and not tried: searching needs none here."""
        body = call.json(wire.KnowledgeBody)
        keys = {"embedding_api_key": body.embedding_api_key, "vision_api_key": body.vision_api_key}
        await self.live.change(lambda _: asked.knowledge_edit(body.enabled, keys), call.caller.principal)
        return json_answer(200, wire.knowledge_object(self._settings.knowledge))

    async def show_secrets(self, call: Call) -> Answer:
        """Never a key."""
        return json_answer(200, wire.secrets_object(self._settings, _redactor.text(self._settings.api_url)))

    @documented(body=wire.SecretsBody)
    async def put_secrets(self, call: Call) -> Answer:
        """A URL that looks like a key is refused before anything changes."""
        body = call.json(wire.SecretsBody)
        await self.live.change(lambda _: asked.secrets_edit(body.api_key, body.api_url), call.caller.principal)
        return json_answer(200, {"ok": True, "api_key_present": bool(self._settings.api_key)})

    @documented(raises=(NotFound,))
    async def telegram(self, call: Call) -> Answer:
        """Always a 400 that names the channels there are."""
        raise BadRequest(f"{wire.NO_TELEGRAM}. Supported: {', '.join(self.kinds)}")

    @documented(raises=(NotFound,))
    async def no_telegram(self, call: Call) -> Answer:
        """Always a 404."""
        raise NotFound(wire.NO_TELEGRAM)


def _without(settings: Settings, name: str) -> Edit:
    return asked.mcp_edit(settings, {name: None}, Target.FILE)
