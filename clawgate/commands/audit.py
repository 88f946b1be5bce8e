"""`clawgate audit`. Ring: entry. Source: docs/howto/audit.md; routes of `web/surfaces/audit.py`."""

from __future__ import annotations

from urllib.parse import urlencode

import click
import msgspec

from clawgate.commands.operator import EX_REFUSED, Operator, accepted, operator
from clawgate.commands.options import config_option, json_option
from clawgate.commands.output import rows_of, safe, second, show, show_json, table, terminal_width
from clawgate.commands.paging import cursor_option, limit_option, page, show_more
from clawgate.domain.audit import Action, Break, Link, Verdict, parse_head
from clawgate.domain.errors import BadRequest
from clawgate.stores.audit_file import verified_file
from clawgate.system.control import NotRunning
from clawgate.system.lock import StateLock

_VERIFY_SECONDS = 600.0


@click.group()
def audit() -> None:
    """What was done to the gateway and by whom, and whether that record is whole."""


@audit.command()
@click.option("--head", type=click.STRING, metavar="SEQ:DIGEST", help="A head noted earlier: shows rewriting, and a cut-off end, up to it.")
@config_option
@json_option
@click.pass_context
def verify(context: click.Context, head: str | None, config: str | None, as_json: bool) -> None:
    """Check the whole audit log; works without a daemon too.

    Exit code 0: intact. 1: broken, and the first broken entry is named.
    """
    noted = _noted(head)
    verdict = _verdict(operator(config), noted)
    if as_json:
        show_json({"intact": verdict.broken is None, **msgspec.to_builtins(verdict)})
    elif verdict.broken is None:
        begins = f", from entry {verdict.anchor.seq + 1} on" if verdict.anchor.seq else ""
        show(f"The audit log is intact: {verdict.entries} entries{begins}. It ends at {verdict.head}")
    else:
        show(f"The audit log is BROKEN at entry {verdict.broken.seq}: {safe(verdict.broken.why)}. It holds up to {verdict.head}")
    if verdict.broken is not None:
        context.exit(EX_REFUSED)


@audit.command()
@config_option
@json_option
def head(config: str | None, as_json: bool) -> None:
    """Where the audit log ends: keep it somewhere else, for `verify --head`."""
    answer = operator(config).ask("GET", "/api/audit/head")
    show_json(answer) if as_json else show(safe(answer.get("head")))


@audit.command("show")
@click.option("--since", type=click.STRING, help="Written since: 2h (ago), an RFC 3339 time, or seconds since 1970.")
@click.option("--action", "actions", type=click.Choice([action.value for action in Action]), multiple=True, help="Only these; may be repeated.")
@limit_option
@cursor_option
@config_option
@json_option
def show_entries(since: str | None, actions: tuple[str, ...], limit: int, cursor: str | None, config: str | None, as_json: bool) -> None:
    """Entries of the audit log, newest first."""
    answer = page(operator(config), "/api/audit", limit=limit, action=",".join(actions), since=since, cursor=cursor)
    if as_json:
        return show_json(answer)
    entries = rows_of(answer.get("entries"))
    if not entries:
        return show("No entries.")
    names = ("seq", "at", "action", "outcome", "actor", "subject", "detail")
    rows = [[second(entry.get(name)) if name == "at" else entry.get(name) for name in names] for entry in entries]
    show(table(tuple(name.upper() for name in names), rows, width=terminal_width()))
    show_more(answer)


def _noted(head: str | None) -> Link | None:
    try:
        return None if head is None else parse_head(head)
    except BadRequest as problem:
        raise click.BadParameter(str(problem).removeprefix("head: "), param_hint="--head") from None


def _verdict(own: Operator, noted: Link | None) -> Verdict:
    """Through the daemon; without one from the file itself, under the lock that keeps a daemon from starting."""
    query = "?" + urlencode({"head": str(noted)}) if noted is not None else ""
    try:
        answer = accepted(own.exchange("GET", "/api/audit/verify" + query, timeout_seconds=_VERIFY_SECONDS))
    except NotRunning:
        settings, lock = own.settings(), StateLock(own.state_dir)
        lock.acquire()
        try:
            return verified_file(settings.database, noted)
        finally:
            lock.release()
    broken = answer.get("broken")
    return Verdict(
        parse_head(str(answer.get("anchor"))),
        parse_head(str(answer.get("head"))),
        int(str(answer.get("entries"))),
        msgspec.convert(broken, Break) if broken is not None else None,
    )
