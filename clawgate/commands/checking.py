"""`clawgate check` and `clawgate doctor`. Ring: entry."""

from __future__ import annotations

import click
import msgspec

from clawgate.commands.daemon import component_lines
from clawgate.commands.operator import EX_CONFIG, EX_ERRORS, EX_REFUSED, EX_UNAVAILABLE, Operator, operator
from clawgate.commands.options import config_option, json_option
from clawgate.commands.output import safe, show, show_json
from clawgate.domain.errors import Invalid, InvalidSettings, Unavailable
from clawgate.domain.settings.findings import Finding, Severity, findings
from clawgate.system.configfile import gather_facts


@click.command()
@config_option
@click.option("--security", is_flag=True, type=click.BOOL, help="Only what concerns security; warnings fail too.")
@json_option
@click.pass_context
def check(context: click.Context, config: str | None, security: bool, as_json: bool) -> None:
    """Say what is wrong or risky in the configuration.

    Exit code: 0 no errors (and, with --security, no warnings); 1 warnings, with --security; 2 errors; 78 the configuration cannot be used.
    """
    own = operator(config)
    try:
        found = look(own, security_only=security)
    except Invalid as problem:
        if not as_json:
            raise
        show_json({"problems": [{"path": one.path, "problem": one.problem, "remedy": one.remedy} for one in _problems(problem)]})
        context.exit(EX_CONFIG)
    if as_json:
        show_json({"findings": msgspec.to_builtins(found)})
    else:
        show("\n".join(map(finding_text, found)) or "Nothing to complain about.")
    context.exit(verdict(found, strict=security))


@click.command()
@config_option
@click.pass_context
def doctor(context: click.Context, config: str | None) -> None:
    """Look at the configuration and at the running daemon.

    Exit code: 0 all is well; 1 something is not; 69 no daemon is running; 78 the configuration cannot be used.
    """
    own = operator(config)
    codes = [_examine_config(own), _examine_daemon(own)]
    context.exit(next((code for code in (EX_CONFIG, EX_UNAVAILABLE, EX_REFUSED) if code in codes), 0))


def look(own: Operator, *, security_only: bool = False) -> tuple[Finding, ...]:
    """Findings about the configuration, errors first. Raises Invalid, InvalidSettings."""
    settings = own.settings()
    return tuple(finding for finding in findings(settings, gather_facts(settings)) if finding.is_security or not security_only)


def verdict(found: tuple[Finding, ...], *, strict: bool) -> int:
    """The exit code of `check`."""
    severities = {finding.severity for finding in found}
    if Severity.ERROR in severities:
        return EX_ERRORS
    return EX_REFUSED if strict and Severity.WARNING in severities else 0


def finding_text(finding: Finding) -> str:
    """A finding for people: what, where and what to do."""
    return f"{finding.severity.value:<7}  {finding.id}  {safe(finding.path)}: {safe(finding.text)}\n                {safe(finding.remedy)}"


def _problems(problem: Invalid) -> tuple[Invalid, ...]:
    return problem.problems if isinstance(problem, InvalidSettings) else (problem,)


def _examine_config(own: Operator) -> int:
    try:
        found = look(own)
    except Invalid as problem:
        for one in _problems(problem):
            show(f"fail  {safe(one)}")
        return EX_CONFIG
    loud = [finding for finding in found if finding.severity is not Severity.INFO]
    if not loud:
        show(f"ok    configuration: {safe(own.settings().config_path)}")
    for finding in loud:
        show(
            f"{'fail' if finding.severity is Severity.ERROR else 'warn'}  {finding.id} {safe(finding.path)}: {safe(finding.text)}. {safe(finding.remedy)}"
        )
    return EX_REFUSED if verdict(found, strict=False) else 0


def _examine_daemon(own: Operator) -> int:
    try:
        health, ready = own.exchange("GET", "/health"), own.exchange("GET", "/readyz")
    except (Unavailable, Invalid) as problem:
        show(f"fail  {safe(problem)}")
        return EX_UNAVAILABLE
    body = health.body if isinstance(health.body, dict) else {}
    runtime = body.get("runtime")
    show(f"{'ok  ' if health.status == 200 else 'fail'}  daemon: answers {health.status} on {safe(own.base_url() or 'its control socket')}")
    is_ready = ready.status == 200
    show(
        f"{'ok  ' if is_ready else 'fail'}  readiness: "
        + (", ".join(component_lines(runtime if isinstance(runtime, dict) else {})) or str(ready.status))
    )
    if body.get("require_pairing") is True and body.get("paired") is not True:
        show("info  nothing is paired yet: clawgate pair")
    return 0 if health.status == 200 and is_ready else EX_REFUSED
