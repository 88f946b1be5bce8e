"""Writes the pages of docs/reference/ that are made from the code. Run by `make docs`; tests/test_docs.py keeps pages and code equal.

One function a page, each returning the whole text. Nothing here knows a route, an error, a metric, a command or a finding by heart: the code is asked, and what
it says is put into tables.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import click
import msgspec

from clawgate.cli import cli
from clawgate.commands import operator
from clawgate.domain import errors, metrics
from clawgate.domain.caller import Scope
from clawgate.domain.errors import GatewayError
from clawgate.domain.secret import Secret
from clawgate.domain.settings import model, reference
from clawgate.domain.settings.findings import Facts, Finding, Severity, findings
from clawgate.domain.settings.model import Settings
from clawgate.domain.signing.registry import SCHEMES
from clawgate.testing.gateway import MemoryGateway
from clawgate.web import resource
from clawgate.web.answers import Answer
from clawgate.web.dialects import pairing_wire, root_wire
from clawgate.web.http_wire import SENTENCES, default_refusal
from clawgate.web.router import Dialect, Door, Route

REFERENCE = Path(__file__).parent / "reference"
_DOORS = {
    Door.PUBLIC: "anybody",
    Door.SIGNED: "who presents the right code, secret or signature",
    Door.LOCAL: "this machine, or a token with `admin`",
}
_MADE = "Made from {source} by `make docs`; do not edit.\n"


# --- routes


def routes_page() -> str:
    """Every route, in the order of the product's table of contents."""
    rows = [(f"`{route.method}`", f"`{route.path}`", _who(route), _limit(route), route.summary) for route in all_routes()]
    head = f"""# Routes

{_MADE.format(source="the live route table")}
`HEAD` works wherever `GET` does. Every path stands below `gateway.path_prefix` and below where an embedder mounted the gateway.
For programs, with parameters and bodies: `clawgate openapi`, or `/api/openapi.json` of a running gateway.

A scope in the third column means: a bearer token that holds this scope. A request through the control socket (`clawgate` on the same machine) passes
everywhere.
"This machine" means a loopback peer, no forwarding header in the request, and no tunnel configured. With `gateway.require_pairing = false` every scope is open,
but those local routes are not.

Scopes: {", ".join(f"`{scope}`" for scope in Scope)}.

Limits count requests for each client in a sliding minute; `[gateway]` in [settings.md](settings.md) sets them. What a refusal looks like:
[errors.md](errors.md).

"""
    return head + table(("method", "path", "who may come in", "limit", "what it does"), rows)


def all_routes() -> tuple[Route, ...]:
    """The routes of a gateway as it is built."""
    return MemoryGateway(start=False).gateway.router.routes


def _who(route: Route) -> str:
    return f"`{route.auth}`" if isinstance(route.auth, Scope) else _DOORS[route.auth]


def _limit(route: Route) -> str:
    return f"`{route.limiter}_rate_limit_per_minute`" if route.limiter else "none"


# --- errors

SAMPLES: tuple[GatewayError, ...] = (
    errors.BadRequest("what was expected"),
    errors.UnsupportedMedia("what was expected"),
    errors.WrongShape("what was expected"),
    errors.NoHandshake("why"),
    errors.InvalidContent("why"),
    errors.RejectedContent("why"),
    errors.UnsupportedFile("why"),
    errors.Unauthenticated(),
    errors.NoSecret(),
    errors.Forbidden("why"),
    errors.NotFound(),
    errors.NotConfigured("WhatsApp"),
    errors.Conflict("why"),
    errors.NotApplied({"linq": "why"}),
    errors.SwitchedOff("knowledge"),
    errors.TooLarge("Request body too large"),
    errors.RateLimited("pair", 60),
    errors.RateLimited("webhook", 60),
    errors.RateLimited("api", 60),
    errors.RateLimited("auth", 60),
    errors.LockedOut(300),
    errors.Unavailable(),
    errors.StoreUnavailable(),
    errors.Overloaded(),
    errors.Draining(),
)
"""One of each kind that an answer can be made of."""


_REASONS: dict[tuple[Dialect, type[GatewayError]], str] = {
    (pairing_wire.pair_refusal, errors.Unauthenticated): "The code is wrong, used, expired or not there",
    (pairing_wire.api_pair_refusal, errors.Unauthenticated): "The code is wrong, used, expired or not there",
    (pairing_wire.device_refusal, errors.Conflict): "Pairing is switched off",
}
"""Where an error means something narrower than its class says."""


def errors_page() -> str:
    """What refusals look like, per family of routes."""
    plain = root_wire.refusal
    return "".join(
        (
            f"# Errors\n\n{_MADE.format(source='the dialects in `clawgate/web/dialects`')}\n",
            "Bodies are JSON. Where a number of seconds is given, it is in the body's `retry_after` (if the body has one) and in the header `Retry-After`.\n",
            "`why` and `what was expected` stand for a sentence about the request at hand.\n",
            "\n## Every route\n\n",
            _refusals(plain, SAMPLES),
            "\nA model that fails is not among them: see `POST /webhook` below.\n",
            *(_dialect(dialect, routes) for dialect, routes in dialects().items()),
            "\n## Before a route is found\n\n",
            table(("status", "body", "Retry-After", "when"), _before_routes()),
            "\n## While a request is still being read\n\nThe connection ends with the answer. A 503 carries `Retry-After: 1`.\n\n",
            table(("status", "body"), ((str(status), _code(default_refusal(status)[1].decode())) for status in sorted(SENTENCES))),
            "\n## `POST /webhook`\n\n",
            table(("status", "body", "when"), _webhook_outcomes()),
        )
    )


def dialects() -> dict[Dialect, list[Route]]:
    """Dialects other than the plain one, with the routes that speak them."""
    spoken: dict[Dialect, list[Route]] = {}
    for route in all_routes():
        if route.dialect is not root_wire.refusal:
            spoken.setdefault(route.dialect, []).append(route)
    return spoken


def _dialect(dialect: Dialect, routes: Sequence[Route]) -> str:
    limiters = {"", "auth", *(route.limiter for route in routes)}
    possible = (sample for sample in SAMPLES if getattr(sample, "limiter", "") in limiters)
    different = [sample for sample in possible if dialect(sample) != root_wire.refusal(sample)]
    where = ", ".join(f"`{route.endpoint}`" for route in routes)
    return f"\n## {where}\n\nAs above, but:\n\n" + _refusals(dialect, different)


def _refusals(dialect: Dialect, samples: Iterable[GatewayError]) -> str:
    rows: dict[tuple[str, str, str], list[str]] = {}
    for sample in samples:
        status, body, seconds = dialect(sample)
        key = (str(status), _code(msgspec.json.encode(body, order="sorted").decode()), f"{seconds} s" if seconds else "")
        rows.setdefault(key, []).append(_REASONS.get((dialect, type(sample))) or when(sample))
    return table(("status", "body", "Retry-After", "when"), ((*key, "; ".join(reasons)) for key, reasons in rows.items()))


def when(sample: GatewayError) -> str:
    """The first sentence of an error's docstring, with its limiter where it has one."""
    sentence = (inspect.getdoc(type(sample)) or "").split("\n\n", 1)[0].replace("\n", " ").partition("; `")[0].rstrip(".")
    limiter = getattr(sample, "limiter", "")
    return f"{sentence} (`{limiter}`)" if limiter else sentence


def _before_routes() -> Iterator[tuple[str, ...]]:
    yield *_answer(resource.NOT_FOUND), "No route has this path"
    yield "405", _code('{"error":"Method not allowed"}'), "", "The path exists, with other methods: the header `Allow` lists them"
    yield *_answer(resource.DRAINING), "The daemon is stopping"
    status, body, _ = root_wire.refusal(errors.BadRequest("Invalid path"))
    text = "A path with `//`, a dot segment, an encoded slash, a control character, or bytes that are not UTF-8"
    yield str(status), _code(msgspec.json.encode(body).decode()), "", text


def _answer(answer: Answer) -> tuple[str, str, str]:
    headers = dict(answer.headers)
    seconds = headers.get(b"Retry-After", b"").decode()
    return str(answer.status), _code(answer.body.decode()), f"{seconds} s" if seconds else ""


def _webhook_outcomes() -> Iterator[tuple[str, str, str]]:
    yield "401", _code(f'{{"error":"{root_wire.BAD_WEBHOOK_SECRET}"}}'), "`channels_config.webhook.secret` is set and `X-Webhook-Secret` is not it"
    yield (
        "400",
        _code(msgspec.json.encode({"error": root_wire.BAD_WEBHOOK_BODY}).decode()),
        "The body is not such JSON, or its content type is not JSON",
    )
    yield "408", "none", "No answer within `gateway.request_timeout_secs`. The turn goes on; the header `Location` says where its outcome will be"
    yield "500", _code(f'{{"error":"{root_wire.LLM_FAILED}"}}'), "The agent failed and the message is not tried again"
    yield "409", _code('{"error":"The message is …; see …"}'), "The message stopped as `uncertain` or `dropped`"


# --- metrics


def metrics_page() -> str:
    """Every metric family."""
    rows = (
        (f"`clawgate_{family.name}`", family.kind.value, ", ".join(f"`{label}`" for label in family.labels), family.help)
        for family in metrics.FAMILIES
    )
    head = f"""# Metrics

{_MADE.format(source="`clawgate/domain/metrics.py`")}
`GET /metrics` answers in Prometheus' text format. `observability.metrics_namespace` replaces `clawgate` in every name; `observability.backend = "none"`
switches metrics off. A family without labels is there with 0 from the start; one with labels appears with its first event.

"""
    return head + table(("name", "type", "labels", "what it says"), rows)


# --- schemes of signatures


def schemes_page() -> str:
    """Every scheme that a hook may be verified by."""
    rows = (
        (
            _code(scheme.name),
            scheme.summary,
            ", ".join(map(_code, scheme.headers)),
            f"{scheme.tolerance_seconds} s" if scheme.tolerance_seconds else "",
        )
        for scheme in SCHEMES.values()
    )
    head = f"""# Schemes of signatures

{_MADE.format(source="`clawgate/domain/signing`")}
What `verify` of a `[hooks.NAME]` may say. Signatures are checked over the body's bytes as they came. Hexadecimal digits are taken in either case; base64 in its
standard alphabet, padded, and in no other spelling. The last column is how far the signed time may lie in the past or in the future unless
`tolerance_secs` says otherwise; where it is empty no time is signed.

"""
    return head + table(("verify", "what is signed", "headers", "tolerance"), rows)


# --- cli


def cli_page() -> str:
    """Every command with its arguments and options."""
    head = f"""# Command line

{_MADE.format(source="the commands themselves")}
Commands other than `init`, `run` and `check` ask the running daemon, through `control.sock` in its state directory. Only the daemon's own user may open it.
`twistd clawgate` runs the same daemon; its options are `--config`, `--host` and `--port`.
Every command takes `-h` or `--help`.

## Exit codes

"""
    return head + table(("code", "meaning"), exit_codes()) + "".join(_command(name, command) for name, command in commands())


def exit_codes() -> list[tuple[str, str]]:
    """Code and meaning, from the table in `commands/operator.py`."""
    entries = re.split(r"\s{2,}|\n", (inspect.getdoc(operator) or "").split("Exit codes", 1)[1].split("\n", 1)[1].strip())
    joined = re.findall(r"(\d+) (.*?)(?= \d+ |$)", " ".join(entry.strip() for entry in entries if entry.strip()))
    return sorted(joined, key=lambda pair: int(pair[0]))


def commands(command: click.Command = cli, path: str = "clawgate") -> Iterator[tuple[str, click.Command]]:
    """Every command under its full name, groups before their members, members by name."""
    yield path, command
    if isinstance(command, click.Group):
        for name, member in sorted(command.commands.items()):
            yield from commands(member, f"{path} {name}")


def _command(name: str, command: click.Command) -> str:
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    words = [name, *(_argument(parameter) for parameter in command.params if isinstance(parameter, click.Argument))]
    usage = " ".join(words + (["COMMAND"] if isinstance(command, click.Group) else []) + (["[OPTIONS]"] if options else []))
    rows = ((f"`{_option(option)}`", _explained(option)) for option in options)
    return f"\n## `{name}`\n\n```text\n{usage}\n```\n\n{inspect.cleandoc(command.help or '')}\n" + (
        f"\n{table(('option', ''), rows)}" if options else ""
    )


def _argument(argument: click.Argument) -> str:
    return argument.metavar or (argument.name or "").upper()


def _option(option: click.Option) -> str:
    names = ", ".join(sorted(option.opts, key=len))
    if option.is_flag:
        return names
    choices = "|".join(option.type.choices) if isinstance(option.type, click.Choice) else ""
    return f"{names} {option.metavar or choices or option.type.name.partition(' ')[0].upper()}"


def _explained(option: click.Option) -> str:
    default = f" Default: {option.default}." if option.show_default else ""
    return (option.help or "") + default


# --- findings


def provoked() -> tuple[Finding, ...]:
    """Findings of configurations that make every one of them appear, one for each id and severity."""
    found: dict[tuple[str, Severity], Finding] = {}
    for settings, facts in _bad_configurations():
        for finding in findings(settings, facts):
            found.setdefault((finding.id, finding.severity), finding)
    return tuple(found[key] for key in sorted(found, key=lambda key: (key[0], list(Severity).index(key[1]))))


def _bad_configurations() -> Iterator[tuple[Settings, Facts]]:
    weak, short = Secret("change-me"), Secret("k7Rq2x9Z")
    whatsapp = model.WhatsAppChannel(
        access_token=weak, phone_number_id="1", verify_token=Secret(""), allowed_numbers=("*",), api_base="http://graph.example"
    )
    linq = model.LinqChannel(api_token=Secret(""), from_phone="+1", signing_secret=None)
    careless = Facts(
        config_mode=0o644, state_dir_mode=0o755, key_file_mode=0o644, is_root=True, clear_text_secrets=("api_key", "gateway.paired_tokens")
    )
    yield (
        Settings(
            config_path="config.toml",
            state_dir="state",
            gateway=model.GatewaySettings(
                host="0.0.0.0",
                allow_public_bind=True,
                require_pairing=False,
                pair_rate_limit_per_minute=0,
                trust_forwarded_headers=True,
                trusted_proxies=("0.0.0.0/0",),
            ),
            channels_config=model.ChannelsSettings(webhook=model.WebhookChannel(secret=short), whatsapp=whatsapp, linq=linq),
            default_provider="custom:http://user:password@models.example/v1",
            unknown=("some.key",),
            warnings=("some.key: what was read in a forgiving way",),
        ),
        careless,
    )
    yield Settings(gateway=model.GatewaySettings(host="0.0.0.0"), default_provider="offline", secrets=model.SecretsSettings(encrypt=False)), Facts()
    tunnel = model.TunnelSettings(provider="cloudflare")
    yield Settings(gateway=model.GatewaySettings(host="0.0.0.0", trust_forwarded_headers=True, trusted_proxies=()), tunnel=tunnel), Facts()
    yield Settings(gateway=model.GatewaySettings(require_pairing=False), default_provider="openai"), Facts()
    yield Settings(default_provider="bedrock"), Facts()
    open_house, announced = model.GatewaySettings(require_pairing=False), model.NodesSettings(enabled=True, announce=True)
    control = model.ControlSettings(enabled=True, host="0.0.0.0", trusted_ips=("0.0.0.0/0",))
    yield Settings(gateway=open_house, terminal=model.TerminalSettings(enabled=True), nodes=announced, control=control), Facts(has_mdns=False)
    yield Settings(hooks={"sms": model.HookSettings(verify="twilio", rate_limit_per_minute=0)}), Facts()
    far = model.SubscriptionSettings(url=Secret("http://ops.example/in"), secret=(weak,), events=("mesage_done",), enabled=False)
    near = model.SubscriptionSettings(url=Secret("http://127.0.0.1:8000/in"), secret=(weak,))
    yield Settings(subscriptions={"ops": far, "own": near}), Facts()


def findings_page() -> str:
    """Every finding of `clawgate check`."""
    rows = (
        (finding.id, finding.severity.value, _code(finding.path), finding.text, finding.remedy, "yes" if finding.is_security else "")
        for finding in provoked()
    )
    head = f"""# Findings

{_MADE.format(source="`clawgate/domain/settings/findings.py`, shown bad configurations,")}
`clawgate check` prints findings about a configuration that works; one that cannot work is refused by every command, with the path of the setting and
what to write instead. Ids are stable. Paths, names and numbers below are examples. `--security` shows only those marked in the last column, and then
warnings fail too.

"""
    return head + table(("id", "severity", "where", "what", "what to do", "security"), rows)


# --- common


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join("| " + " | ".join(_cell(cell) for cell in line) + " |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()) if text.startswith("`") else " ".join(text.split()).replace("|", "\\|")


def _code(text: str) -> str:
    return f"`{text}`"


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": reference.markdown,
    "routes.md": routes_page,
    "errors.md": errors_page,
    "metrics.md": metrics_page,
    "hook-schemes.md": schemes_page,
    "cli.md": cli_page,
    "findings.md": findings_page,
}


def main() -> None:
    """Writes every page whose text has changed."""
    for name, page in PAGES.items():
        path, text = REFERENCE / name, page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path}")


if __name__ == "__main__":
    main()
