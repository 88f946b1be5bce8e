"""What a subscriber is sent. Ring: domain. Source: Standard Webhooks spec (payload: `type`, `timestamp`, `data`; less than 20 kB)."""

from __future__ import annotations

import msgspec

from clawgate.domain.subscriptions import Delivery
from clawgate.domain.times import rfc3339

MOST_PAYLOAD_BYTES = 19_500
_SHORT_CHARS, _MOST_SHORT = 200, 20


def payload(delivery: Delivery) -> bytes:
    """The body: `type`, `timestamp`, `data`; less than 20 kB, and the same bytes each time.

    Of data that is too much, the answer is cut first; then only short values stay. Either is marked with `truncated`.
    """
    data = msgspec.json.decode(delivery.data, type=dict[str, object])
    body = _encoded(delivery, data)
    over = len(body) - MOST_PAYLOAD_BYTES
    if over <= 0:
        return body
    answer = data.get("answer")
    if isinstance(answer, str):
        body = _encoded(delivery, data | {"answer": _cut(answer, over), "truncated": True})
        if len(body) <= MOST_PAYLOAD_BYTES:
            return body
    short = {name: value for name, value in data.items() if _is_short(value)}
    return _encoded(delivery, dict(list(short.items())[:_MOST_SHORT]) | {"truncated": True})


def _encoded(delivery: Delivery, data: object) -> bytes:
    return msgspec.json.encode({"type": delivery.kind, "timestamp": rfc3339(delivery.at_ms), "data": data})


def _cut(text: str, over_bytes: int) -> str:
    """So much of its beginning that its JSON is shorter by `over_bytes` and a mark."""
    room = len(msgspec.json.encode(text)) - over_bytes - len(',"truncated":true') - 2
    kept, used = 0, 0
    for char in text:
        used += len(msgspec.json.encode(char)) - 2
        if used > room:
            break
        kept += 1
    return text[:kept]


def _is_short(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= _SHORT_CHARS)
