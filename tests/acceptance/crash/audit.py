"""What was promised, held against what is on disk, what the model was asked, what the tool did and what the platforms took (design §1, §6)."""

from __future__ import annotations

import http.client
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.acceptance.crash.heard import misheard, unheard
from tests.acceptance.crash.house import House
from tests.acceptance.crash.load import Ack, Load
from tests.acceptance.crash.peers import TOOLS, mood_of
from tests.acceptance.crash.recorded import entries, unrecorded
from tests.acceptance.crash.rows import Row, rows
from tests.acceptance.daemon import ask_on

_REPLY = "re "
_CHANNELS = ("linq", "whatsapp")
_LONGEST_SECONDS = 900.0
"""A long run leaves thousands of events to its one subscriber."""


class Audit(NamedTuple):
    """What was found; every field but the counts below the line is empty when the promises held.

    Attributes:
        lost: acknowledged, and without its outcome. untrue: answered with something that is not the outcome.
        twice: messages with two outcomes. replays: copies that got another outcome, or made another item.
        sent_twice, called_twice: parts that a platform took, and calls that the tool saw, more than once, nobody having decided so.
        unsent, uncalled: replies that count as sent and calls that count as made, which nobody saw.
        unheard: messages whose outcome no subscriber was told. misheard: those told with another answer, another outcome or twice, and events out of order.
        unrecorded: what the audit log does not hold, and where it is broken.
        credentials: tokens of revoked devices that are taken, and of paired ones that are not.
        disorder: conversations whose messages, or replies, were not in order.
    """

    lost: list[str]
    untrue: list[str]
    twice: list[str]
    replays: list[str]
    sent_twice: list[str]
    unsent: list[str]
    called_twice: list[str]
    uncalled: list[str]
    disorder: list[str]
    unheard: list[str]
    misheard: list[str]
    unrecorded: list[str]
    credentials: list[str]
    acknowledged: int
    outcomes: dict[str, int]
    uncertain_sends: int
    uncertain_calls: int
    repeated_turns: int
    deliveries: int
    calls: int
    replayed: int
    lines: int
    devices: int
    events: int
    events_again: int
    entries: int

    @property
    def problems(self) -> dict[str, list[str]]:
        return {name: value for name, value in self._asdict().items() if isinstance(value, list) and value}


def audited(house: House, load: Load, *, replay: bool = True) -> Audit:
    """Waits until everything is settled, asks about every acknowledged message, sends keys and deliveries again, and reads the file.

    Args:
        replay: whether copies are sent; not where keys may have run out.
    """
    house.subscriber.is_kind = True
    house.settle(_LONGEST_SECONDS)
    told = dict(_shown(house, load.acknowledged.values()))
    before = rows(house)
    again = dict(_replayed(house, load)) if replay else {}
    house.settle()
    after = rows(house)
    by_text = defaultdict(list)
    for row in after:
        by_text[row.text].append(row)
    acks = load.acknowledged
    items = {text: [row for row in by_text[text] if row.state not in ("dead", "dropped") or not _may_fail(text)] or by_text[text] for text in by_text}
    return Audit(
        lost=[text for text, ack in acks.items() if not _has_outcome(ack, by_text[text])],
        untrue=[text for text, ack in acks.items() if not _is_true(ack, by_text[text], told)],
        twice=[text for text, some in items.items() if text in load.texts and mood_of(text) != "refuse" and len(some) > 1],
        replays=[text for text, response in again.items() if response not in _outcomes(by_text[text])] + _new(before, after),
        sent_twice=_sent_twice(house, after),
        unsent=_unsent(house, after),
        called_twice=[text for text, count in house.noted.items() if count > 1],
        uncalled=_uncalled(house, after),
        disorder=_disorder(house, load),
        unheard=unheard(house, after),
        misheard=misheard(house, after),
        unrecorded=house.broken_logs + unrecorded(house.database),
        credentials=_credentials(house, load),
        acknowledged=len(acks),
        outcomes=dict(Counter(row.state for row in after)),
        uncertain_sends=sum(row.error == "send_unsettled" for row in after),
        uncertain_calls=sum((row.error or "").startswith("tool_unsettled") for row in after),
        repeated_turns=sum(count - 1 for text, count in house.model.begun.items() if mood_of(text) in ("plain", "slow") and count > 1),
        deliveries=len(house.platform.taken),
        calls=sum(house.noted.values()),
        replayed=len(again),
        lines=len({message.line for message in load.texts.values() if message.line}),
        devices=len(load.devices),
        events=len({event.id for event in house.subscriber.heard}),
        events_again=len(house.subscriber.heard) - len({event.id for event in house.subscriber.heard}),
        entries=entries(house.database),
    )


def _may_fail(text: str) -> bool:
    """Whether somebody waiting may have been told that it failed, and have asked again."""
    return text.startswith(("caller-", "console-"))


def _has_outcome(ack: Ack, found: list[Row]) -> bool:
    """Whether it is there and ended: done, unless the model refuses it, or a send or a call may be for a person to decide."""
    text = ack.message.text
    may_stop = mood_of(text) in ("refuse", *TOOLS) or ack.message.path in ("/linq", "/whatsapp")
    wanted = ("done", "uncertain", "dead") if may_stop else ("done",)
    return (not ack.id or ack.id in [row.id for row in found]) and any(row.state in wanted for row in found)


def _is_true(ack: Ack, found: list[Row], told: dict[str, dict[str, Any]]) -> bool:
    """Whether what was answered, and what `/api/inbox` says, is what is on disk, and the message's own."""
    text = ack.message.text
    answers = {row.answer for row in found if row.answer is not None}
    right = answers <= {_REPLY + text} and (not ack.response or ack.response in answers)
    shown = told.get(text)
    return right and (shown is None or any((row.id, row.state, row.answer) == (shown["id"], shown["state"], shown["response"]) for row in found))


def _outcomes(found: list[Row]) -> set[str]:
    return {row.answer for row in found if row.answer is not None} | {row.state for row in found}


def _new(before: list[Row], after: list[Row]) -> list[str]:
    known = {row.id for row in before}
    return [row.text for row in after if row.id not in known]


def _shown(house: House, acks: Iterable[Ack]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the daemon says about each acknowledged item whose id was told."""
    with closing(_connection(house)) as connection:
        for ack in acks:
            if ack.id:
                answer = ask_on(connection, "GET", f"/api/inbox/{ack.id}", headers={"Authorization": f"Bearer {house.daemon.token}"})
                yield ack.message.text, answer.json if answer.status == 200 else {"id": ack.id, "state": answer.status, "response": None}


def _replayed(house: House, load: Load) -> Iterator[tuple[str, str]]:
    """Sends everything with a key or an id again: what came back, or the state where nothing may come back."""
    with closing(_connection(house)) as connection:
        for text, ack in tuple(load.acknowledged.items()):
            message = ack.message
            if (
                message.path != "/api/v1/agent/chat" and message.key and mood_of(text) != "refuse"
            ):  # what failed gave its key back: its copy is another message
                body = message.body.replace(b'"message": "', b'"message": "other ') if message.path == "/webhook" else message.body
                headers = {name: value for name, value in message.headers.items() if name != "Prefer"}
                answer = ask_on(connection, "POST", message.path, body, headers | load.signature(message))
                if answer.status == 409:
                    yield text, "uncertain"
                elif answer.status not in message.accepted or message.path == "/webhook":
                    yield text, answer.json.get("response") or f"{answer.status}"


def _connection(house: House) -> http.client.HTTPConnection:
    parts = urlsplit(house.daemon.url)
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)


def _sent_twice(house: House, found: list[Row]) -> list[str]:
    """Replies that a platform took twice, and chats that got more apologies than messages of theirs failed."""
    taken = Counter(part.text for part in house.platform.taken)
    failed = Counter(row.conversation for row in found if row.source in _CHANNELS and row.answer is None)
    sorry = Counter(f"{part.channel}:{part.target}" for part in house.platform.taken if not part.text.startswith(_REPLY))
    twice = [text for text, count in taken.items() if text.startswith(_REPLY) and count > 1]
    return twice + [f"sorry, {chat}" for chat, count in sorry.items() if count > failed[chat]]


def _unsent(house: House, found: list[Row]) -> list[str]:
    """Messages that count as answered, and whose reply no platform took."""
    taken = {part.text for part in house.platform.taken}
    return [row.text for row in found if row.source in _CHANNELS and row.state == "done" and _REPLY + row.text not in taken]


def _uncalled(house: House, found: list[Row]) -> list[str]:
    """Messages that were answered after a call which the tool never saw."""
    noted = house.noted
    return [row.text for row in found if mood_of(row.text) in TOOLS and row.state == "done" and not noted[row.text]]


def _disorder(house: House, load: Load) -> list[str]:
    """Lines whose turns first began, or whose replies were taken, in another order than they were sent in."""
    asked: dict[str, list[int]] = defaultdict(list)
    for text in dict.fromkeys(house.model.asked):
        if text in load.texts and load.texts[text].line:
            asked[load.texts[text].line].append(_number(text))
    taken: dict[str, list[int]] = defaultdict(list)
    for part in dict.fromkeys(house.platform.taken):
        if part.text.startswith(_REPLY):
            taken[f"replies to {part.target}"].append(_number(part.text))
    return [line for line, numbers in [*asked.items(), *taken.items()] if numbers != sorted(numbers)]


def _credentials(house: House, load: Load) -> list[str]:
    """What the daemon says to the token of each device."""
    with closing(_connection(house)) as connection:
        statuses = {
            token: ask_on(connection, "GET", "/api/devices", headers={"Authorization": f"Bearer {token}"}).status for token in tuple(load.devices)
        }
    return [f"{token[:8]}: {status}" for token, status in statuses.items() if (status == 200) != load.devices[token]]


def _number(text: str) -> int:
    return int(text.rsplit("-", 2)[1])
