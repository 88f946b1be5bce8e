"""`[hooks.NAME]` as the verifiers and templates take it, and what is wrong with it. Ring: domain. Source: webhook-signatures.md §1; design §4.3."""

from __future__ import annotations

from collections.abc import Iterator

from clawgate.domain.errors import Invalid
from clawgate.domain.hooks import Template, is_pointer
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import HookSettings
from clawgate.domain.signing.registry import SCHEMES
from clawgate.domain.signing.scheme import Algorithm, Encoding, KeyType, Options


def options_of(hook: HookSettings) -> Options:
    """What its scheme may be told."""
    return Options(
        tolerance_seconds=hook.tolerance_secs or SCHEMES[hook.verify].tolerance_seconds,
        header=hook.header,
        prefix=hook.prefix,
        encoding=Encoding(hook.encoding),
        algorithm=Algorithm(hook.algorithm),
        signed=hook.signed,
        timestamp_header=hook.timestamp_header,
        id_header=hook.id_header,
        key_encoding=Encoding(hook.key_encoding),
        key_type=KeyType(hook.key_type),
        key_ids=hook.key_ids,
        label=hook.label,
        components=hook.components,
        verify_token=hook.verify_token or Secret(""),
    )


def template_of(hook: HookSettings) -> Template:
    """What its messages are made of."""
    return Template(message=hook.message, conversation=hook.conversation, fields=hook.fields)


def complaint(hook: HookSettings) -> str:
    """Why it would refuse every delivery; "" when it can work."""
    return SCHEMES[hook.verify].complaint(hook.secrets, options_of(hook))


def problems(name: str, hook: HookSettings) -> Iterator[Invalid]:
    """What cannot work whatever is delivered."""
    for field, pointer in hook.fields.items():
        if not is_pointer(pointer):
            path = f"hooks.{name}.fields.{field[:60]}"
            yield Invalid(path, "is no JSON pointer", 'Write it like "/repository/full_name"; ~1 stands for / in a name, ~0 for ~')
