"""What the control plane does: its token, its five commands. Ring: services. Source: openclaw-enterprise.md §3, §5; design §4.18.

A switched provider stands over the one of the configuration until the process ends or the configuration names another one (`LiveSettings.stand_in`).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from clawgate.domain import control
from clawgate.domain.audit import Action, Outcome
from clawgate.domain.control import VENDORS, Message, Token, Vendor
from clawgate.domain.errors import GatewayError
from clawgate.domain.secret import Secret
from clawgate.domain.settings import Settings
from clawgate.domain.settings.providers import named
from clawgate.domain.turn import Line, Prompt, Role
from clawgate.ports.audit import Recorder
from clawgate.ports.clock import Clock, Entropy
from clawgate.ports.control import Signer
from clawgate.services.audit import NOT_RECORDED
from clawgate.services.backends import Backends
from clawgate.services.deadlines import Expired, within
from clawgate.services.settings import LiveSettings

_log = Logger()
PROBE_SECONDS = 30.0
ACTOR = "control"
"""The principal of whoever holds the control plane's token."""
_LOOKS = frozenset({"ping", "status"})


def signing_key(secret: Secret | None, entropy: Entropy) -> Secret:
    """The key of this process: the configured one, else a random one that dies with it (unlike upstream's, which changes with every look)."""
    if secret is not None and secret.reveal() not in ("", control.PLACEHOLDER_SECRET):
        return secret
    _log.warn("JWT_SECRET not set — using ephemeral secret for this session only.")
    return Secret(entropy.random_bytes(32).hex())


class Refused(GatewayError):
    """A command that cannot be carried out; the text is what the client reads."""


class ControlTokens(msgspec.Struct, eq=False):
    """The one token of this process.

    Attributes:
        announce: shows a new token to the operator.
    """

    signer: Signer
    clock: Clock
    entropy: Entropy
    ttl_hours: int
    announce: Callable[[Token], object] = lambda token: None
    _token: Token | None = None

    def current(self) -> Token:
        """The token that counts; a new one if there is none, or if it has expired: only the operator asks."""
        if self._token is None or self._token.expires_ms <= self.clock.wall_ms():
            return self.rotate()
        return self._token

    def rotate(self) -> Token:
        """A new token; the one before is dead."""
        token_id, now_s = self.entropy.random_bytes(16).hex(), self.clock.wall_ms() // 1000
        text = self.signer.sign(control.claims(token_id, now_s, self.ttl_hours))
        self._token = Token(token_id, (now_s + self.ttl_hours * 3600) * 1000, Secret(text))
        self.announce(self._token)
        return self._token

    def refusal(self, token: object) -> str | None:
        """Why a token does not count; None when it does."""
        active = "" if self._token is None else self._token.id
        return control.refusal(token, now_s=self.clock.wall_ms() // 1000, active_id=active, is_signed=self.signer.is_signed)


class ControlPlane(msgspec.Struct, eq=False):
    """The commands, for whoever holds the token."""

    tokens: ControlTokens
    live: LiveSettings
    backends: Backends
    clock: Clock
    audit: Recorder = NOT_RECORDED
    _models: dict[str, str] = {}
    _checking: Deferred[None] | None = None
    _started: float = 0.0

    def __post_init__(self) -> None:
        self._started = self.clock.monotonic()

    def stop(self) -> None:
        """Ends a health check that is under way."""
        if self._checking is not None:
            self._checking.cancel()

    async def answer(self, message: Message) -> str:
        """The reply to a message whose token counts."""
        commands: Mapping[str, Callable[[object], Coroutine[Deferred[Any], Any, dict[str, object]]]] = {  # Any: what Deferreds in it fire with
            "ping": self._ping,
            "status": self._status,
            "switch_provider": self._switch,
            "health_check": self._check,
            "rotate_token": self._rotate,
        }
        command = commands.get(message.command) if isinstance(message.command, str) else None
        if command is None:
            return control.failed(message, control.unknown_command(message))
        try:
            return control.fulfilled(message, await self._recorded(str(message.command), command(message.data)))
        except CancelledError:
            raise
        except Refused as problem:
            return control.failed(message, str(problem))
        except GatewayError as problem:
            return control.failed(message, control.command_failed(str(problem)))
        except Exception as problem:
            _log.failure("a command of the control plane broke")
            return control.failed(message, control.command_failed(f"internal error ({type(problem).__name__})"))

    async def _recorded(self, command: str, work: Coroutine[Deferred[Any], Any, dict[str, object]]) -> dict[str, object]:  # Any: as in `answer`
        """Carries a command out, recorded before and after; looking is not recorded, and a new token, which kills the old one, is made in any case."""
        if command in _LOOKS:
            return await work
        try:
            writing = self.audit.attempt if command == "rotate_token" else self.audit.record
            await writing(Action.CONTROL_COMMAND, ACTOR, command, Outcome.ASKED)
        except BaseException:
            work.close()
            raise
        try:
            result = await work
        except BaseException:
            self.audit.attempt(Action.CONTROL_COMMAND, ACTOR, command, Outcome.FAILED)
            raise
        await self.audit.attempt(Action.CONTROL_COMMAND, ACTOR, command)
        return result

    async def _ping(self, data: object) -> dict[str, object]:
        return {"pong": True, "ts": self.clock.wall_ms()}

    async def _status(self, data: object) -> dict[str, object]:
        settings = self.live.settings
        vendor = _known(settings.default_provider)
        if vendor is not None:
            _check_key(settings, vendor)
        return {
            "provider": settings.default_provider if vendor is None else vendor.shown,
            "model": self._model(),
            "providerKey": _name(settings),
            "uptimeMs": int((self.clock.monotonic() - self._started) * 1000),
            "nodeEnv": settings.control.node_env,
        }

    async def _switch(self, data: object) -> dict[str, object]:
        vendor = control.vendor_of(data)
        if isinstance(vendor, str):
            raise Refused(vendor)
        wanted = data.get("model") if isinstance(data, dict) else None
        model = wanted if isinstance(wanted, str) and wanted else self._models.get(vendor.key, "")
        previous = _name(self.live.settings)
        await self.live.stand_in(lambda settings: _standing_in(settings, vendor, model), ACTOR)
        self._models[vendor.key] = model
        _log.info("provider switched: {previous} → {active} (model: {model})", previous=previous, active=vendor.key, model=self._model())
        return {"previous": previous, "active": vendor.key, "model": self._model()}

    async def _check(self, data: object) -> dict[str, object]:
        if self._checking is None:
            checking = self._checking = Deferred.fromCoroutine(self._probe_all())
            checking.addBoth(self._checked)
        return {"message": control.HEALTH_CHECKED}

    async def _rotate(self, data: object) -> dict[str, object]:
        return {"token": self.tokens.rotate().text.reveal()}

    def _checked(self, _: object) -> None:
        self._checking = None

    async def _probe_all(self) -> None:
        for vendor in VENDORS:
            if not _has_key(self.live.settings, vendor):
                continue
            try:
                await self._probe(vendor)
            except CancelledError:
                raise
            except Expired:
                _log.warn("❌ Provider [{name}] health check: FAIL (no answer in time)", name=vendor.key)
            except Exception as problem:
                _log.warn("❌ Provider [{name}] health check: FAIL ({problem})", name=vendor.key, problem=str(problem))
            else:
                _log.info("✅ Provider [{name}] health check: PASS", name=vendor.key)

    async def _probe(self, vendor: Vendor) -> None:
        lease = await self.backends.named(vendor.provider)
        try:
            prompt = Prompt(lines=(Line(Role.USER, "Respond with OK"),), model=lease.model)
            await within(lease.backend.run(prompt, _Nobody()), PROBE_SECONDS, self.clock)
        finally:
            lease.release()

    def _model(self) -> str:
        return self.live.settings.default_model or self.backends.current.default_model


class _Nobody:
    """A `Sink` of an answer that nobody reads."""

    def delta(self, text: str) -> None:
        """Nothing."""

    def thought(self, text: str) -> None:
        """Nothing."""

    def tool_call(self, call: object) -> None:
        """Nothing."""

    def usage(self, usage: object) -> None:
        """Nothing."""


def _standing_in(settings: Settings, vendor: Vendor, model: str) -> Settings:
    """Settings with another provider. `api_key` and `api_url` are the configured provider's own and go to nobody else."""
    _check_key(settings, vendor)
    if settings.default_provider == vendor.provider:
        return msgspec.structs.replace(settings, default_model=model or settings.default_model)
    own = settings.control.gemini_model if vendor.key == "gemini" else settings.control.kimi_model
    return msgspec.structs.replace(settings, default_provider=vendor.provider, default_model=model or own, api_key=None, api_url="")


def _check_key(settings: Settings, vendor: Vendor) -> None:
    if not _has_key(settings, vendor):
        raise Refused(control.command_failed(vendor.no_key))


def _has_key(settings: Settings, vendor: Vendor) -> bool:
    return vendor.provider in dict(settings.provider_keys) or bool(settings.api_key and settings.default_provider == vendor.provider)


def _known(provider: str) -> Vendor | None:
    return next((vendor for vendor in VENDORS if vendor.provider == provider), None)


def _name(settings: Settings) -> str:
    vendor = _known(settings.default_provider)
    return named(settings.default_provider) if vendor is None else vendor.key
