"""Every route against any JSON, query, path value and header: an answer that is meant, and never a crash (design §6).

Bodies of the right shape are made of the shapes that the dialects read, so that what stands behind the decoders is reached too.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_from_bytes

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import inspect as shapes
from twisted.logger import LogEvent, LogLevel, globalLogPublisher

from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import ChannelsSettings, HookSettings, KnowledgeSettings, NodesSettings, Settings, WebhookChannel
from clawgate.testing.gateway import MemoryGateway
from clawgate.web import dialects
from clawgate.web.router import Route
from tests.web.gate import unlimited

SETTINGS = Settings(
    gateway=unlimited(),
    knowledge=KnowledgeSettings(enabled=True),
    nodes=NodesSettings(enabled=True),
    hooks={"ci": HookSettings(verify="gitlab", secrets=(Secret("hook-secret"),))},
    channels_config=ChannelsSettings(webhook=WebhookChannel(secret=Secret("door-secret"))),
)
SIGNED = {"X-Gitlab-Token": "hook-secret", "X-Webhook-Secret": "door-secret", "X-Gitlab-Event-UUID": "1"}
MEANT = {503}
"""Statuses above 499 that are an answer: something is off, or not now."""

TEXTS = st.text(max_size=12) | st.sampled_from(
    ["", " ", "\0", "\ud800", "../..", "a" * 5_000, "https://", "-1", "1e999", "2026-02-30T00:00:00Z", "💥"]
)
NUMBERS = st.integers(-2, 70) | st.sampled_from([2**31, 2**63 - 1, 2**63, -(2**63), 2**64, 10**40, -(10**40)])
JSON: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.floats(allow_nan=False) | TEXTS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=4), below, max_size=3),
    max_leaves=6,
)


def structs() -> Iterator[type[msgspec.Struct]]:
    """The bodies that the dialects read."""
    for found in pkgutil.iter_modules(dialects.__path__):
        module = importlib.import_module(f"{dialects.__name__}.{found.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, msgspec.Struct) and value.__module__ == module.__name__:
                yield value


def like(found: shapes.Type) -> st.SearchStrategy[object]:
    """Values of a type as JSON has them, now and then something else."""
    match found:
        case shapes.StructType(fields=fields):
            tag = {found.tag_field: st.just(found.tag)} if found.tag_field else {}
            needed = {field.encode_name: like(field.type) for field in fields if field.required}
            more = {field.encode_name: like(field.type) for field in fields if not field.required}
            made: st.SearchStrategy[object] = st.fixed_dictionaries(tag | needed, optional=more)
        case shapes.UnionType(types=types):
            made = st.one_of(*(like(one) for one in types))
        case shapes.ListType(item_type=item) | shapes.VarTupleType(item_type=item):
            made = st.lists(like(item), max_size=3)
        case shapes.DictType(value_type=value):
            made = st.dictionaries(TEXTS, like(value), max_size=3)
        case shapes.EnumType(cls=kind):
            made = st.sampled_from([member.value for member in kind])
        case shapes.LiteralType(values=values):
            made = st.sampled_from(values)
        case shapes.StrType():
            made = TEXTS
        case shapes.IntType():
            made = NUMBERS
        case shapes.BoolType():
            made = st.booleans()
        case _:
            made = JSON
    return made


def written(body: object) -> bytes:
    """JSON as a hostile client writes it: lone surrogates and numbers without end stay what they are."""
    return json.dumps(body).encode("utf-8", "surrogatepass")


BODIES = st.one_of(*(like(shapes.type_info(kind)) for kind in structs()), JSON).map(written) | st.binary(max_size=40)
BYTES = st.binary(max_size=20) | TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")[:200])
QUERIES = st.dictionaries(
    st.sampled_from(
        ["limit", "offset", "q", "since", "status", "cursor", "token", "ticket", "days", "parent_id", "session_id", "name", "force", "types"]
    ),
    BYTES,
    max_size=3,
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["Prefer", "X-Idempotency-Key", "X-Session-Id", "X-Forwarded-For", "Last-Event-ID", "Accept", "X-Pairing-Code", "Origin", "Cookie"]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20),
    max_size=3,
)


class House:
    """One gateway for all examples: what an earlier one left behind is there for the later."""

    def __init__(self) -> None:
        self.gate = MemoryGateway(SETTINGS)
        self.token = self.gate.pair()
        self.routes = tuple(route for route in self.gate.gateway.router.routes if not route.is_socket)
        self.ids = [self._id("/tasks", {"title": "t"}), self._id("/api/v1/cron", {"schedule": {"kind": "every", "every_ms": 60_000}, "prompt": "p"})]

    def _id(self, path: str, body: dict[str, Any]) -> str:
        answer = self.gate.client.post(path, body, token=self.token).json
        return str(answer.get("id") or next(found["id"] for found in answer.values() if isinstance(found, dict) and "id" in found))


HOUSE = House()
PIECES = BYTES.map(lambda value: quote_from_bytes(value, safe="")) | st.sampled_from([*HOUSE.ids, "ci", "default"])


@given(route=st.sampled_from(HOUSE.routes), body=BODIES, query=QUERIES, headers=HEADERS, pieces=st.lists(PIECES, min_size=2, max_size=2))
@settings(deadline=None, max_examples=3 * settings().max_examples, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_no_request_breaks_a_route(route: Route, body: bytes, query: dict[str, bytes], headers: dict[str, str], pieces: list[str]) -> None:
    values = iter(pieces)
    path = re.sub(r"<[^>]+>", lambda _: next(values), route.path)
    asked = "&".join(f"{name}={quote_from_bytes(value)}" for name, value in query.items())
    problems: list[LogEvent] = []
    globalLogPublisher.addObserver(observer := lambda event: problems.append(event) if event["log_level"] >= LogLevel.error else None)
    try:
        pending = HOUSE.gate.client.begin(
            route.method, f"{path}?{asked}", body, token=HOUSE.token, headers={"Content-Type": "application/json"} | SIGNED | headers
        )
        for _ in range(3):
            HOUSE.gate.clock.advance(0.5)
        answered = pending.raw
        pending.leave()
    finally:
        globalLogPublisher.removeObserver(observer)
    assert not answered or int(answered[9:12]) < 500 or int(answered[9:12]) in MEANT, answered
    assert not problems, problems
