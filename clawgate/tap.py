"""`twistd clawgate` and `clawgate run`. Ring: entry. Source: design §7; reference/codebases.md §5 T5, T13.

Settings are validated in `makeService`, where `SystemExit(78)` still works. A start that fails later stops the reactor and ends the process with the
daemon's exit code; a clean drain ends it with 0 even after SIGTERM.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from typing import Any

import msgspec
from twisted.application.service import IService, MultiService
from twisted.logger import ILogObserver, LogBeginner, globalLogBeginner
from twisted.python import usage
from twisted.python.components import Componentized

from clawgate.banner import fit
from clawgate.daemon import EX_CONFIG, Daemon, check_startable, prepare_process
from clawgate.domain.errors import GatewayError
from clawgate.domain.redaction import Redactor
from clawgate.domain.settings import Settings
from clawgate.system.configfile import load_settings
from clawgate.system.logs import TAIL, LineObserver, log_observer


def port_number(text: str) -> int:
    """A TCP port of the command line. Raises ValueError otherwise."""
    port = int(text)
    if not 0 <= port <= 65_535:
        raise ValueError("a port is 0 … 65535")
    return port


class Options(usage.Options):
    """Options of the `clawgate` subcommand of twistd."""

    synopsis = "[clawgate options]"
    longdesc = "The front door of AI agents."
    optParameters = [
        ["config", "c", None, "Path of config.toml", str],
        ["host", "H", None, "Address to listen on, over the config's", str],
        ["port", "p", None, "Port to listen on, over the config's; 0 picks one", port_number],
    ]


def overridden(settings: Settings, host: str | None, port: int | None) -> Settings:
    """Settings with what the command line says."""
    gateway = settings.gateway
    if host is not None:
        gateway = msgspec.structs.replace(gateway, host=host)
    if port is not None:
        gateway = msgspec.structs.replace(gateway, port=port)
    return msgspec.structs.replace(settings, gateway=gateway)


def makeService(options: Options) -> IService:
    """The service for twistd; ends the process with 78 when the settings cannot work."""
    from twisted.internet import reactor

    try:
        settings = overridden(load_settings(options["config"], os.environ), options["host"], options["port"])
        check_startable(settings)
        prepare_process(reactor)
        return TwistdService(settings, reactor, options.parent or {})
    except GatewayError as problem:
        print_error(problem)
        raise SystemExit(EX_CONFIG) from None


class TwistdService(MultiService):
    """The daemon's service, with twistd's habits corrected."""

    def __init__(self, settings: Settings, reactor: Any, twistd: Any) -> None:  # reactor: see Daemon; twistd: usage.Options is untyped
        super().__init__()  # type: ignore[no-untyped-call]  # twisted.application is untyped
        self._reactor = reactor
        redactor = redactor_of(settings)
        is_ours = not (twistd.get("logfile") or twistd.get("syslog") or twistd.get("logger"))
        self._observer = _observer(settings, sys.__stdout__, redactor) if is_ours else None
        self.daemon = Daemon(settings, reactor, show, lambda changed: hide(changed, redactor))
        atexit.register(_exit_with, self.daemon)
        self.daemon.service().setServiceParent(self)  # type: ignore[no-untyped-call]  # twisted.application is untyped

    def setServiceParent(self, parent: Any) -> None:  # IServiceCollection or the Application
        """Gives the application our log observer: it redacts, twistd's own does not."""
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]  # twisted.application is untyped
        if self._observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._observer)

    def startService(self) -> None:
        """SIGHUP is ours from the first moment."""
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self.daemon.reload))
        super().startService()  # type: ignore[no-untyped-call]  # twisted.application is untyped

    async def _stopped(self) -> None:
        await super().stopService()  # type: ignore[no-untyped-call]  # twisted.application is untyped
        self._reactor._exitSignal = None

    def stopService(self) -> Any:  # Deferred[None]
        """Stops, and lets a clean end by SIGTERM be a clean exit."""
        from twisted.internet.defer import Deferred

        return Deferred.fromCoroutine(self._stopped())


def run(settings: Settings, *, banner: bool = True) -> int:
    """Runs the daemon in the foreground until it is told to stop; returns the exit code. Logs go to stderr."""
    from twisted.internet import reactor as installed

    reactor: Any = installed  # see Daemon.reactor
    check_startable(settings)
    prepare_process(reactor)
    redactor = redactor_of(settings)
    observer = _observer(settings, sys.stderr, redactor)
    beginner: LogBeginner = globalLogBeginner
    beginner.beginLoggingTo([observer], redirectStandardIO=False)
    daemon = Daemon(settings, reactor, show if banner else lambda text: None, lambda changed: hide(changed, redactor))
    service = daemon.service()
    signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(daemon.reload))
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.callWhenRunning(service.startService)
    reactor.run()
    return daemon.exit_code


def show(text: str) -> None:
    """Writes to the operator's real stdout, which twistd turns into log lines otherwise; the code must reach scripts and container logs."""
    stream = sys.__stdout__
    if stream is None:
        return
    try:
        stream.write(fit(text if text.endswith("\n") else text + "\n", stream.encoding))
        stream.flush()
    except (OSError, ValueError):
        pass


def print_error(problem: GatewayError) -> None:
    """The operator's line on the real stderr."""
    stream = sys.__stderr__
    if stream is not None:
        stream.write(f"clawgate: {problem}\n")
        stream.flush()


def redactor_of(settings: Settings) -> Redactor:
    """What keeps these settings' secrets out of the log."""
    redactor = Redactor()
    hide(settings, redactor)
    return redactor


def hide(settings: Settings, redactor: Redactor) -> None:
    """Keeps the secrets of changed settings out of the log, too; old ones stay hidden."""
    for secret in secrets_of(settings):
        redactor.register(secret)


def _observer(settings: Settings, stream: Any, redactor: Redactor) -> LineObserver:  # any text stream
    own = settings.observability
    return log_observer(stream, own.log_format, own.log_level, redactor, tail=TAIL)


def secrets_of(settings: Any) -> list[Any]:  # walks Structs of any shape; Secret values are found by type
    """Every secret in the settings, for the redactor."""
    from clawgate.domain.secret import Secret

    if isinstance(settings, Secret):
        return [settings]
    if isinstance(settings, msgspec.Struct):
        return [secret for name in settings.__struct_fields__ for secret in secrets_of(getattr(settings, name))]
    if isinstance(settings, dict):
        return secrets_of(tuple(settings.values()))
    if isinstance(settings, tuple):
        return [secret for value in settings for secret in secrets_of(value)]
    return []


def _exit_with(daemon: Daemon) -> None:
    """Registered first among the exit handlers, so it runs last: twistd itself offers no way to a non-zero exit code after a failed start (T5)."""
    if daemon.exit_code:
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
        os._exit(daemon.exit_code)
