"""`clawgate init`, `clawgate run`, `clawgate status`. Ring: entry."""

from __future__ import annotations

import os
from collections.abc import Mapping

import click

from clawgate.commands.operator import Operator, operator
from clawgate.commands.options import PORT, config_option, json_option, spoken
from clawgate.commands.output import pairs, safe, show, show_json
from clawgate.domain.settings.environment import names_of
from clawgate.system.configfile import find_config, load_settings
from clawgate.system.initconfig import write_first_config


@click.command()
@config_option
@click.option("--provider", type=click.STRING, default="", help="Who answers, written into the file: openai, ollama, local:PATH, ...")
def init(config: str | None, provider: str) -> None:
    """Write a first config.toml; an existing one is left as it is."""
    environ = operator(config).environ
    named = config or environ.get("CLAWGATE_CONFIG", "").strip()
    path = os.path.abspath(os.path.expanduser(named)) if named else find_config(None, environ)
    write_first_config(path, default_provider=provider)
    is_usual = not config
    show(f"Wrote {path}\nNext:  clawgate run" + ("" if is_usual else f" --config {path}"))


@click.command()
@config_option
@click.option("--host", type=click.STRING, help="Address to listen on, over the config's.")
@click.option("-p", "--port", type=PORT, help="Port to listen on, over the config's; 0 picks one.")
@click.option("--provider", type=click.STRING, help="Who answers, over the config's.")
@click.option("--model", type=click.STRING, help="Model asked for, over the config's.")
@click.pass_context
def run(context: click.Context, config: str | None, host: str | None, port: int | None, provider: str | None, model: str | None) -> None:
    """Run the gateway in the foreground; logs go to stderr."""
    said = {"gateway.host": host, "gateway.port": port, "default_provider": provider, "default_model": model}
    settings = load_settings(config, overlaid(operator(config).environ, said))
    from clawgate.tap import run as run_daemon  # late: Twisted's reactor is installed by it

    context.exit(run_daemon(settings))


def overlaid(environ: Mapping[str, str], said: Mapping[str, object]) -> dict[str, str]:
    """The environment with command line options in the variables that win, so that they are checked like every other setting.

    Args:
        said: by the setting's path; None = not said.
    """
    return {**environ, **{names_of(path)[0]: str(value) for path, value in said.items() if value is not None}}


@click.command()
@config_option
@json_option
def status(config: str | None, as_json: bool) -> None:
    """Show how the running daemon is."""
    own = operator(config)
    health = own.ask("GET", "/health")
    if as_json:
        return show_json(health)
    show(pairs(summary(own, health)))


def summary(own: Operator, health: Mapping[str, object]) -> dict[str, object]:
    """The facts of a status, by name."""
    daemon = own.daemon()
    runtime = health.get("runtime")
    runtime = runtime if isinstance(runtime, dict) else {}
    seconds = runtime.get("uptime_seconds")
    is_required, is_paired = health.get("require_pairing") is True, health.get("paired") is True
    return {
        "address": daemon.url if daemon else None,
        "public URL": daemon.public_url if daemon else None,
        "process": runtime.get("pid"),
        "running for": _uptime(seconds) if isinstance(seconds, int) else None,
        "pairing": ("active, " + ("paired" if is_paired else "nothing paired yet: clawgate pair"))
        if is_required
        else "DISABLED (all requests accepted)",
        "components": ", ".join(component_lines(runtime)) or None,
        "state": own.state_dir,
    }


def component_lines(runtime: Mapping[str, object]) -> list[str]:
    """One word or sentence for each component: `store ok`."""
    components = runtime.get("components")
    if not isinstance(components, dict):
        return []
    return [_component(str(name), report if isinstance(report, dict) else {}) for name, report in sorted(components.items())]


def _component(name: str, report: Mapping[str, object]) -> str:
    error = report.get("last_error")
    return safe(f"{name} {report.get('status')}" + (f" ({error})" if error and report.get("status") != "ok" else ""))


def _uptime(seconds: int) -> str:
    for size in (86_400, 3600, 60):
        if seconds >= size:
            return spoken(seconds // size * size)
    return spoken(seconds)
