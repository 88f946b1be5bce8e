r"""The part of structured fields that HTTP message signatures are written in. Ring: domain. Source: RFC 8941 §3; RFC 9421 §4.

    Signature-Input    label "=" "(" [ name *( SP name ) ] ")" *( ";" key "=" value ), with commas between several; value = integer | string
    Signature          label "=:" base64 ":", with commas between several
    Content-Digest     algorithm "=:" base64 ":", likewise

Only the canonical spelling is read: what is signed is the member as it would be serialised, so another spelling could only be a trick.
Components with parameters (`;sf`, `;req`, …) are not read. A name that comes twice makes the whole field malformed.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

import msgspec

from clawgate.domain.errors import Unauthenticated

MAX_FIELD_CHARS = 8192
_KEY = r"[a-z*][a-z0-9_.*-]{0,63}"
_STRING = r'"(?:[ !#-\[\]-~]|\\["\\])*"'
_INTEGER = r"-?(?:0|[1-9][0-9]{0,14})"
_NAME = r'"@?[a-z0-9!#$%&\'*+.^_`|~-]{1,128}"'
_BETWEEN = re.compile(r"[ \t]*,[ \t]*")
_INPUT = re.compile(
    rf"(?P<label>{_KEY})=(?P<member>\((?P<names>{_NAME}(?: {_NAME})*)?\)(?P<parameters>(?:;{_KEY}=(?:{_INTEGER}|{_STRING}))*))", re.ASCII
)
_PARAMETER = re.compile(rf";(?P<key>{_KEY})=(?:(?P<integer>{_INTEGER})|(?P<string>{_STRING}))", re.ASCII)
_BYTES = re.compile(rf"(?P<label>{_KEY})=:(?P<base64>[A-Za-z0-9+/]*={{0,2}}):", re.ASCII)


class Input(msgspec.Struct, frozen=True):
    """What one signature says that it covers.

    Attributes:
        components: names in their order, without quotes.
        parameters: integers and strings by name.
        text: the member as it stands, which is signed too.
    """

    components: tuple[str, ...]
    parameters: Mapping[str, int | str]
    text: str


def inputs(field: str) -> dict[str, Input]:
    """The members of `Signature-Input` by label. Raises Unauthenticated when any of it is malformed."""
    found = {}
    for match in _members(_INPUT, field):
        names = tuple(name[1:-1] for name in (match["names"] or "").split(" ") if name)
        parameters = [_parameter(item) for item in _PARAMETER.finditer(match["parameters"])]
        if match["label"] in found or len(set(names)) != len(names) or len(dict(parameters)) != len(parameters):
            raise Unauthenticated("signature input malformed")
        found[match["label"]] = Input(names, dict(parameters), match["member"])
    return found


def _parameter(match: re.Match[str]) -> tuple[str, int | str]:
    if match["integer"] is not None:
        return match["key"], int(match["integer"])
    return match["key"], re.sub(r"\\(.)", r"\1", match["string"][1:-1])


def byte_sequences(field: str) -> dict[str, bytes]:
    """The members of `Signature` or `Content-Digest` by label. Raises Unauthenticated when any of it is malformed."""
    found: dict[str, bytes] = {}
    for match in _members(_BYTES, field):
        try:
            value = base64.b64decode(match["base64"], validate=True)
        except binascii.Error:
            raise Unauthenticated("byte sequence malformed") from None
        if match["label"] in found or base64.b64encode(value).decode("ascii") != match["base64"]:
            raise Unauthenticated("byte sequence malformed")
        found[match["label"]] = value
    return found


def _members(pattern: re.Pattern[str], field: str) -> list[re.Match[str]]:
    """Every member of the field in turn, with nothing else between them than commas."""
    if len(field) > MAX_FIELD_CHARS:
        raise Unauthenticated("signature field too long")
    found, position = [], 0
    while match := pattern.match(field, position):
        found.append(match)
        position = match.end()
        comma = _BETWEEN.match(field, position)
        if not comma:
            break
        position = comma.end()
    if not found or found[-1].end() != len(field):
        raise Unauthenticated("signature field missing or malformed")
    return found
