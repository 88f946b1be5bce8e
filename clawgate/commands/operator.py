"""Who runs a command, with which files and which daemon; and what an answer that refuses becomes. Ring: entry.

Exit codes of every command (sysexits.h where it has one):

    0  done                  1  the daemon refused, or something is not well      64  wrong usage
    2  `check` found errors  69 no daemon is running, or it does not answer       75  accepted, not answered yet (`send`)
    78 a configuration that cannot be used
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

import click
import msgspec

from clawgate.commands.output import safe
from clawgate.domain.errors import GatewayError, Invalid, Unavailable
from clawgate.domain.settings.model import Settings
from clawgate.system.configfile import find_config, find_state_dir, load_settings
from clawgate.system.control import CONTROL_SOCKET, ControlClient, Reply, RunningDaemon, running_daemon

EX_REFUSED, EX_ERRORS, EX_USAGE, EX_UNAVAILABLE, EX_TEMPFAIL, EX_CONFIG = 1, 2, 64, 69, 75, 78


class Refused(GatewayError):
    """The daemon answered, and the answer is no; `str` is its own sentence."""


class Operator(msgspec.Struct):
    """The files and the daemon that a command is about.

    Attributes:
        config: as named with `--config`, or None.
        environ: the process environment.
    """

    config: str | None
    environ: Mapping[str, str]

    @property
    def state_dir(self) -> str:
        """The state directory; works with a config that cannot be read, since the daemon may still run on the last good one."""
        return find_state_dir(find_config(self.config, self.environ), self.environ)

    def settings(self) -> Settings:
        """The settings as they stand now. Raises Invalid, InvalidSettings."""
        return load_settings(self.config, self.environ)

    def settings_if_good(self) -> Settings | None:
        """The settings, or None when they cannot be used."""
        try:
            return self.settings()
        except Invalid:
            return None

    def daemon(self) -> RunningDaemon | None:
        """What the daemon wrote about itself when it started."""
        return running_daemon(self.state_dir)

    def base_url(self) -> str | None:
        """The daemon's public URL, else where it listens; None when it has not said."""
        daemon = self.daemon()
        return None if daemon is None else self._prefixed((daemon.public_url or daemon.url).rstrip("/"))

    def exchange(
        self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None, timeout_seconds: float = 30.0
    ) -> Reply:
        """The daemon's answer, whatever it is. Raises NotRunning, Unavailable, Invalid."""
        client = ControlClient(os.path.join(self.state_dir, CONTROL_SOCKET), timeout_seconds, self._prefix())
        return client.exchange(method, path, body, headers)

    def ask(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """The JSON object of an answer that is no refusal.

        Raises:
            Refused: with the daemon's sentence. NotRunning, Unavailable, Invalid: as `exchange`.
        """
        return accepted(self.exchange(method, path, body))

    def _prefix(self) -> str:
        daemon = self.daemon()
        said = urlsplit(daemon.url).path.rstrip("/") if daemon is not None else ""
        settings = None if said else self.settings_if_good()
        return settings.gateway.path_prefix if settings is not None else said

    def _prefixed(self, url: str) -> str:
        return url if urlsplit(url).path.rstrip("/") else url + self._prefix()


def accepted(reply: Reply) -> dict[str, object]:
    """The JSON object of a 2xx answer. Raises Refused for every other one."""
    if 200 <= reply.status < 300 and isinstance(reply.body, dict):
        return reply.body
    raise Refused(sentence(reply))


def sentence(reply: Reply) -> str:
    """What a refusal says, in the daemon's own words: the sentence, not its code; the status when it has none."""
    if isinstance(reply.body, dict):
        parts = [str(reply.body[name]) for name in ("detail", "error", "message") if isinstance(reply.body.get(name), str)]
        if parts:
            return safe(parts[0])
    text = str(reply.body).strip() if isinstance(reply.body, str) else ""
    return safe(text[:500]) if text else f"the daemon answered {reply.status}"


def operator(config: str | None) -> Operator:
    """The operator of the running command; the group put the environment in the context."""
    environ = click.get_current_context().find_object(dict)
    return Operator(config, environ if environ is not None else {})


def exit_code_of(problem: GatewayError) -> int:
    """What a command ends with that raised `problem`."""
    if isinstance(problem, Invalid):
        return EX_CONFIG
    return EX_UNAVAILABLE if isinstance(problem, Unavailable) else EX_REFUSED
