"""What the doctor says of a running gateway, without asking anybody outside. Ring: domain. Source: rantaiclaw.md §10 (GET /doctor).

Each check of the contract has one result. Those about the configuration gather findings (`domain.settings.findings`) by their ids: the worst one gives the
severity and the hint, all give the message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec

from clawgate.domain.settings.findings import Facts, Finding, Severity, findings
from clawgate.domain.settings.model import Settings

_MOST_TOLD = 5


class Grade(StrEnum):
    """How a check went, as the wire writes it."""

    OK = "Ok"
    INFO = "Info"
    WARN = "Warn"
    FAIL = "Fail"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One result without its duration."""

    name: str
    category: str
    severity: Grade
    message: str
    hint: str | None = None


class Result(msgspec.Struct, frozen=True):
    """A check and how long it took; reading the files counts for the first that needs them."""

    check: Check
    duration_ms: int


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """What the running gateway knows of itself.

    Attributes:
        facts: None when the files could not be read, and `facts_problem` says why.
        unhealthy: names of components in error.
        store_problem: "" when the store is well.
    """

    facts: Facts | None
    facts_problem: str
    unhealthy: Sequence[str]
    store_problem: str
    pid: int
    uptime_seconds: int


_GRADES = {Severity.ERROR: Grade.FAIL, Severity.WARNING: Grade.WARN, Severity.INFO: Grade.INFO}
_WELL = {
    "config.schema": "every key of config.toml is understood",
    "config.provider_key": "the provider has what it needs",
    "config.api_url": "outgoing addresses are in order",
    "config.paths": "files and their modes are in order",
    "policy.allowlist": "listening, pairing and allowlists are in order",
    "channels.auth": "the channels' secrets are in order; the platforms were not asked",
}


def check_of(finding: Finding) -> str:
    """The name of the check that tells a finding."""
    number = int(finding.id[2:])
    if number in (40, 41):
        return "config.schema"
    if number in (50, 53):
        return "config.api_url"
    if number in (51, 52, 54) or finding.path == "api_key":
        return "config.provider_key"
    if number in (25, 26) or 10 <= number < 20 or 60 <= number < 70:
        return "policy.allowlist"
    return "channels.auth" if 20 <= number < 30 else "config.paths"


def checks(settings: Settings) -> tuple[tuple[str, Callable[[Condition], Check]], ...]:
    """Every check in the contract's order, by name; each is run by itself so that its time can be taken."""

    def told(name: str, category: str) -> tuple[str, Callable[[Condition], Check]]:
        return name, lambda condition: _of_findings(name, category, settings, condition)

    return (
        *(told(name, "config") for name in ("config.schema", "config.provider_key", "config.api_url", "config.paths", "policy.allowlist")),
        told("channels.auth", "live"),
        ("mcp.startup", lambda condition: _mcp(settings, condition)),
        ("provider.ping", lambda condition: _check("provider.ping", "live", Grade.INFO, "offline: no provider was asked")),
        ("daemon.registration", _daemon),
        ("system.deps", _system),
    )


def _of_findings(name: str, category: str, settings: Settings, condition: Condition) -> Check:
    if condition.facts is None:
        return _check(name, category, Grade.FAIL, condition.facts_problem, "See clawgate check")
    found = [finding for finding in findings(settings, condition.facts) if check_of(finding) == name]
    if not found:
        return _check(name, category, Grade.OK, _WELL[name])
    message = "; ".join(f"{finding.path} {finding.text}" for finding in found[:_MOST_TOLD])
    more = f"; and {len(found) - _MOST_TOLD} more" if len(found) > _MOST_TOLD else ""
    return _check(name, category, _GRADES[found[0].severity], message + more, found[0].remedy)


def _mcp(settings: Settings, condition: Condition) -> Check:
    failing = [name for name in condition.unhealthy if name.startswith("mcp")]
    if failing:
        return _check("mcp.startup", "live", Grade.FAIL, f"in error: {', '.join(failing)}", "See /health for the last error")
    count = len(settings.mcp_servers)
    if not count:
        return _check("mcp.startup", "live", Grade.INFO, "no MCP servers are configured")
    return _check("mcp.startup", "live", Grade.OK, f"{count} configured, none in error")


def _daemon(condition: Condition) -> Check:
    if condition.unhealthy:
        return _check("daemon.registration", "system", Grade.FAIL, f"components in error: {', '.join(condition.unhealthy)}", "See /health")
    return _check("daemon.registration", "system", Grade.OK, f"runs as process {condition.pid} for {condition.uptime_seconds} s")


def _system(condition: Condition) -> Check:
    if condition.store_problem:
        return _check("system.deps", "system", Grade.FAIL, condition.store_problem, "Free disk space, or see the log")
    return _check("system.deps", "system", Grade.OK, "the store is well")


def _check(name: str, category: str, severity: Grade, message: str, hint: str | None = None) -> Check:
    return Check(name=name, category=category, severity=severity, message=message, hint=hint)
