"""`clawgate pair` and `clawgate devices`. Ring: entry. Source: design §4.6, §4.9; routes of `web/surfaces/pairing.py`."""

from __future__ import annotations

import sys
from urllib.parse import quote

import click

from clawgate.banner import fit, local_url, outside_url, page_url, pair_line
from clawgate.commands.operator import Operator, Refused, operator
from clawgate.commands.options import SCOPE, base_url, config_option, duration, json_option, spoken
from clawgate.commands.output import complain, safe, show, show_json, table, terminal_width
from clawgate.qr import BLOCKS, qr_text
from clawgate.system.lan import outward_address

_NO_ADDRESS = (
    "This gateway answers on this machine only. For a phone, set a tunnel or a public address, or name the address it uses: --url https://..."
)
_LISTED_AMBIGUOUS = 5


@click.command()
@config_option
@click.option("--qr", is_flag=True, type=click.BOOL, help="Show a QR that opens the pairing page with the code.")
@click.option("--name", type=click.STRING, help="Name of the device that will use the code.")
@click.option("--scope", "scopes", type=SCOPE, multiple=True, help="What its token may do; repeat for more. None = everything.")
@click.option("--ttl", type=duration, metavar="DURATION", help="Life of its token, such as 30d; not given = until revoked.")
@click.option("--code-ttl", type=duration, metavar="DURATION", help="Life of the code, such as 10m; not given = as configured.")
@click.option("--url", type=base_url, metavar="URL", help="Address the other device uses, where that differs from the daemon's own.")
@json_option
def pair(
    config: str | None, qr: bool, name: str | None, scopes: tuple[str, ...], ttl: int | None, code_ttl: int | None, url: str | None, as_json: bool
) -> None:
    """Make a one-time code for another device."""
    own = operator(config)
    body = {"name": name, "scopes": list(scopes), "ttl_secs": ttl or 0, "code_ttl_secs": code_ttl or 0}
    answer = own.ask("POST", "/admin/paircode/new", body)
    if as_json:
        return show_json(answer)
    code = str(answer.get("pairing_code"))
    if not (code.isascii() and code.isalnum()):
        raise Refused("the daemon gave no code")
    show(f"Pairing code: {code}" + (f"  (one use, {spoken(code_ttl)})" if code_ttl else "  (one use)"))
    explain(own, code, url)
    if qr:
        show_qr(own, code, url)


def explain(own: Operator, code: str, url: str | None) -> None:
    """Says what to do with a code."""
    base = url or own.base_url()
    if base is None:
        return show(f"Send: POST /pair with header X-Pairing-Code: {code}")
    base = local_url(base)
    show(f"Type it in a browser:  {page_url(base)}\nOr in a shell:         {pair_line(base, code)}")


def show_qr(own: Operator, code: str, url: str | None) -> None:
    """Draws a QR for the other device, or says why there is none."""
    known = url or own.base_url()
    outside = url or (outside_url(known, outward_address()) if known else None)
    if outside is None:
        complain(_NO_ADDRESS)
        if known is None:
            return
    target = page_url(outside or local_url(str(known)), code)
    show(target)
    drawn = qr_text(target)
    if fit(BLOCKS, sys.stdout.encoding) != BLOCKS:
        return complain("This terminal cannot show a QR (it is not UTF-8); open the address above instead.")
    show(drawn)


@click.group()
def devices() -> None:
    """List, revoke and re-pair devices."""


@devices.command("list")
@config_option
@json_option
def list_devices(config: str | None, as_json: bool) -> None:
    """Paired devices, newest first."""
    answer = operator(config).ask("GET", "/api/devices")
    if as_json:
        return show_json(answer)
    found = _devices(answer)
    if not found:
        return show("Nothing is paired. Make a code with: clawgate pair")
    rows = [[d.get("id"), d.get("name"), d.get("device_type"), _scopes(d), _minute(d.get("last_seen")), _minute(d.get("expires_at"))] for d in found]
    show(table(("ID", "NAME", "TYPE", "SCOPES", "LAST SEEN", "EXPIRES"), rows, width=terminal_width()))


@devices.command()
@click.argument("device_id", metavar="ID", type=click.STRING)
@config_option
@json_option
def revoke(device_id: str, config: str | None, as_json: bool) -> None:
    """Kill a device's token and connections at once; the beginning of its id is enough."""
    own = operator(config)
    answer = own.ask("DELETE", f"/api/devices/{quote(full_id(own, device_id), safe='')}")
    show_json(answer) if as_json else show(f"Revoked {safe(answer.get('device_id'))}.")


@devices.command()
@click.argument("device_id", metavar="ID", type=click.STRING)
@config_option
@json_option
def rotate(device_id: str, config: str | None, as_json: bool) -> None:
    """Kill a device's token and make a code with which it pairs again."""
    own = operator(config)
    answer = own.ask("POST", f"/api/devices/{quote(full_id(own, device_id), safe='')}/token/rotate")
    if as_json:
        return show_json(answer)
    code = answer.get("pairing_code")
    show(safe(answer.get("message")))
    if code:
        show(f"Pairing code: {safe(code)}")
        explain(own, str(code), None)


def full_id(own: Operator, beginning: str) -> str:
    """The one device id that begins so; an exact one wins.

    Raises:
        Refused: none does, or several do (they are named).
    """
    ids = [str(device.get("id")) for device in _devices(own.ask("GET", "/api/devices"))]
    matching = [beginning] if beginning in ids else [one for one in ids if beginning and one.startswith(beginning)]
    if len(matching) == 1:
        return matching[0]
    if not matching:
        raise Refused(f"no device has an id that begins with {safe(beginning)}; see: clawgate devices list")
    more = ", ..." if len(matching) > _LISTED_AMBIGUOUS else ""
    raise Refused(f"{safe(beginning)} begins several ids: {safe(', '.join(matching[:_LISTED_AMBIGUOUS]))}{more}")


def _devices(answer: dict[str, object]) -> list[dict[str, object]]:
    found = answer.get("devices")
    return [device for device in found if isinstance(device, dict)] if isinstance(found, list) else []


def _scopes(device: dict[str, object]) -> str:
    scopes = device.get("scopes")
    return ",".join(map(str, scopes)) if isinstance(scopes, list) else ""


def _minute(moment: object) -> object:
    """`2026-01-31 12:30` of an RFC 3339 time in UTC."""
    return moment[:16].replace("T", " ") if isinstance(moment, str) else None
