"""Store contract: sessions, and memory with owners. Ring: testing. Source: ports/sessions.py, ports/stores.py (`Memory`); rantaiclaw.md §10."""

# ruff: noqa: D103 (a case is named for the behaviour it shows)

from __future__ import annotations

from typing import Any

import msgspec

from clawgate.domain import inbox
from clawgate.domain.caller import Scope
from clawgate.domain.errors import Conflict
from clawgate.domain.messages import MemoryEntry, TurnOptions
from clawgate.domain.sessions import Message
from clawgate.domain.turn import Role
from clawgate.ports.stores import Store
from clawgate.testing.store_builders import NOW_MS, OWNER, OpenStore, a_device, an_item, completed, failed, refusal, run

ANN, BOB = "ann", "bob"
SESSION = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"


async def a_turn_is_saved_once_with_its_outcome(open_store: OpenStore) -> None:
    store = await open_store()
    item = await _said(store, 1, "How do\nyou do?", "Fine.")
    assert Conflict == await refusal(store.inbox.settle(item, completed(answer="Twice?"), NOW_MS + 9))
    (session,) = (await store.sessions.page(None, 10, 0)).sessions
    assert (session.id, session.title, session.model, session.source, session.principal) == (SESSION, "How do", "model-1", "api", ANN)
    assert (session.started_ms, session.message_count) == (NOW_MS, 2)
    lines = (Message(Role.USER, "How do\nyou do?", NOW_MS), Message(Role.ASSISTANT, "Fine.", NOW_MS + 5))
    assert await store.sessions.messages(SESSION, 10) == lines


async def a_session_goes_on_under_its_first_title_and_model(open_store: OpenStore) -> None:
    store = await open_store()
    await _said(store, 1, "first", "one")
    await _said(store, 2, "second", "two", model="another")
    session = await store.sessions.get(SESSION)
    assert session is not None
    assert (session.title, session.model, session.message_count) == ("first", "model-1", 4)
    assert [message.content for message in await store.sessions.messages(SESSION, 3)] == ["one", "second", "two"]


async def the_session_with_the_newest_message_is_the_first_active_one(open_store: OpenStore) -> None:
    store = await open_store()
    await _said(store, 1, "older", "one")
    await _said(store, 2, "newer", "two", session="second", principal=BOB)
    await _said(store, 3, "again", "three")
    active = await store.sessions.active(None, 10)
    assert [(one.session.id, one.session.message_count) for one in active] == [(SESSION, 4), ("second", 2)]
    assert active[0].last_ms == (await store.sessions.messages(SESSION, 1))[0].at_ms
    assert [one.session.id for one in await store.sessions.active(BOB, 10)] == ["second"]
    assert len(await store.sessions.active(None, 1)) == 1


async def a_message_is_added_behind_all_others_and_found(open_store: OpenStore) -> None:
    store = await open_store()
    added = Message(Role.ASSISTANT, "By the way", NOW_MS + 7)
    assert await store.sessions.add(SESSION, added) is False
    await _said(store, 1, "first", "one")
    assert await store.sessions.add(SESSION, added) is True
    assert (await store.sessions.messages(SESSION, 10))[2:] == (added,)
    session = await store.sessions.get(SESSION)
    assert session is not None
    assert session.message_count == 3
    assert [hit.message for hit in await store.sessions.search("way", ANN, 10)] == [added]
    assert await store.sessions.search("way", BOB, 10) == ()
    assert await store.sessions.remove(SESSION) is True
    assert await store.sessions.search("way", ANN, 10) == ()


async def what_has_no_answer_or_no_session_is_not_saved(open_store: OpenStore) -> None:
    store = await open_store()
    await _said(store, 1, "blank", " \n")
    await _said(store, 2, "elsewhere", "one", session="")
    item = _item(3, "fails")
    await run(store, item)
    await store.inbox.settle(item.id, failed(), NOW_MS)
    assert (await store.sessions.page(None, 10, 0)).total == 0


async def a_turn_without_a_conversation_is_saved_too(open_store: OpenStore) -> None:
    store = await open_store()
    running = await run(store, msgspec.structs.replace(_item(1, "alone"), conversation=None))
    await store.inbox.complete(running, completed(), NOW_MS)
    assert len(await store.sessions.messages(SESSION, 10)) == 2


async def nobody_ends_up_in_a_strangers_session(open_store: OpenStore) -> None:
    store = await open_store()
    await store.devices.add(a_device("root", scopes=frozenset({Scope.ADMIN})))
    await _said(store, 1, "mine", "one")
    await _said(store, 2, "not mine", "two", principal=BOB)
    assert len(await store.sessions.messages(SESSION, 10)) == 2
    await _said(store, 3, "an administrator's", "three", principal="root")
    assert len(await store.sessions.messages(SESSION, 10)) == 4


async def sessions_are_paged_newest_first_and_each_sees_their_own(open_store: OpenStore) -> None:
    store = await open_store()
    for number, principal in enumerate((ANN, BOB, ANN), 1):
        await _said(store, number, "q", "a", session=f"s{number}", principal=principal)
    everybody, own = await store.sessions.page(None, 2, 0), await store.sessions.page(ANN, 10, 1)
    assert ([session.id for session in everybody.sessions], everybody.total) == (["s3", "s2"], 3)
    assert ([session.id for session in own.sessions], own.total) == (["s1"], 2)
    insights, newest = await store.sessions.insights(ANN, 10_000), await store.sessions.insights(None, 2)
    assert (insights.sessions, insights.messages, insights.average, insights.latest and insights.latest.id) == (2, 4, 2.0, "s3")
    assert (newest.sessions, newest.messages) == (2, 4)


async def nothing_gives_no_insights(open_store: OpenStore) -> None:
    insights = await (await open_store()).sessions.insights(None, 10)
    assert (insights.sessions, insights.messages, insights.average, insights.latest) == (0, 0, 0.0, None)


async def an_id_is_found_whole_or_by_a_beginning_that_is_its_own(open_store: OpenStore) -> None:
    store = await open_store()
    for number, session in enumerate(("ab", "abc", "abd", "a%", "xyz"), 1):
        await _said(store, number, "q", "a", session=session, principal=BOB if session == "xyz" else ANN)
    found = {key: await store.sessions.find(key, ANN) for key in ("ab", "abc", "a", "a%", "%", "_", "abce", "x", "'")}
    assert {key: (one.session and one.session.id, one.matches) for key, one in found.items()} == {
        "ab": ("ab", 1),
        "abc": ("abc", 1),
        "a": (None, 4),
        "a%": ("a%", 1),
        "%": (None, 0),
        "_": (None, 0),
        "abce": (None, 0),
        "x": (None, 0),
        "'": (None, 0),
    }
    anybodys = await store.sessions.find("x", None)
    assert (anybodys.session and anybodys.session.id, anybodys.matches) == ("xyz", 1)


async def messages_are_found_by_full_text_and_each_finds_their_own(open_store: OpenStore) -> None:
    store = await open_store()
    await _said(store, 1, "green tea at five", "Tea it is, with crème brûlée.", session="s1")
    await _said(store, 2, "coffee and tea", "no", session="s2", principal=BOB)
    found = {query: await _found(store, query, None) for query in ("tea", "TEA AND five", '"tea at"', "cof*", "tea NOT coffee", "creme", "milk")}
    assert found == {
        "tea": ["Tea it is, with crème brûlée.", "coffee and tea", "green tea at five"],
        "TEA AND five": ["green tea at five"],
        '"tea at"': ["green tea at five"],
        "cof*": ["coffee and tea"],
        "tea NOT coffee": ["Tea it is, with crème brûlée.", "green tea at five"],
        "creme": ["Tea it is, with crème brûlée."],
        "milk": [],
    }
    assert [await _found(store, "tea", BOB), await _found(store, "cof*", ANN)] == [["coffee and tea"], []]
    (hit,) = await store.sessions.search("coffee", None, 5)
    assert (hit.session_id, hit.title, hit.message.role, hit.rank < 0) == ("s2", "coffee and tea", Role.USER, True)
    assert len(await store.sessions.search("tea", None, 2)) == 2


async def hostile_queries_are_words_and_reach_nobody_elses_messages(open_store: OpenStore) -> None:
    store = await open_store()
    await _said(store, 1, "it's 100% AND (odd", "a", session="s1")
    await _said(store, 2, "secret of bob", "b", session="s2", principal=BOB)
    for query in ("it's", "100%", "(odd", 'odd"', "odd AND", "^", "odd\0", "-- odd"):
        assert await _found(store, query, ANN) == (["it's 100% AND (odd"] if query != "^" else [])
    tag = "o" + BOB.encode().hex()
    hostile = (
        *("odd) OR (secret", "nothing) OR content : (secret", f"owner : {tag}", f"owner : {tag} OR secret", f"- content : {tag}", tag),
        *(
            "*reads",
            "*id",
            '"',
            "'",
            "((((",
            "NEAR(",
            "NEAR(secret odd, 99999999999)",
            "secret : odd",
            "rank : 1",
            "\ud800",
            "\0",
            "{a b} : c",
            "AND OR NOT",
        ),
        *("(" * 400 + "odd" + ")" * 400, " OR ".join(["odd"] * 2_000), "NOT secret", "secret + bob", "^ secret", "%", "_"),
    )
    for query in hostile:
        assert "secret of bob" not in await _found(store, query, ANN), query


async def a_title_changes_and_a_session_is_forgotten_with_its_words(open_store: OpenStore) -> None:
    store = await open_store()
    await _said(store, 1, "tea", "one", session="s1")
    await _said(store, 2, "tea too", "two", session="s2")
    assert [await store.sessions.rename("s1", "new"), await store.sessions.rename("s9", "new")] == [True, False]
    assert [(hit.session_id, hit.title) for hit in await store.sessions.search("one", None, 5)] == [("s1", "new")]
    assert [await store.sessions.remove("s1"), await store.sessions.remove("s1")] == [True, False]
    assert (await _found(store, "tea", None), await store.sessions.messages("s1", 5)) == (["tea too"], ())
    await _said(store, 3, "again", "three", session="s1")
    assert [message.content for message in await store.sessions.messages("s1", 5)] == ["again", "three"]


async def memory_is_paged_newest_first_by_category_and_owner(open_store: OpenStore) -> None:
    store = await open_store()
    await _remember(store, "1", "tea", principal=ANN)
    await _remember(store, "2", "tea", principal=BOB, category="daily")
    await _remember(store, "3", "tea", category="daily")
    everything, own, daily = (
        await store.memory.page(None, None, 2, 0),
        await store.memory.page(None, ANN, 10, 1),
        await store.memory.page("daily", ANN, 10, 0),
    )
    assert ([hit.entry.key for hit in everything.hits], everything.total) == (["3", "2"], 3)
    assert ([hit.entry.key for hit in own.hits], own.total) == (["1"], 2)
    assert ([(hit.entry.key, hit.score) for hit in daily.hits], daily.total) == ([("3", None)], 1)


async def memory_is_searched_by_rank_and_then_by_letters(open_store: OpenStore) -> None:
    store = await open_store()
    await _remember(store, "one", "green tea")
    await _remember(store, "both", "tea with milk and more milk")
    await _remember(store, "said", "teatime with milk", category="conversation")
    hits = await store.memory.search("tea milk", None, None, 10)
    assert [hit.entry.key for hit in hits] == ["both", "one", "said"]
    assert [hit.score is None for hit in hits] == [False, False, True]
    assert [hit.entry.key for hit in await store.memory.search("eati", None, None, 10)] == ["said"]
    assert [hit.entry.key for hit in await store.memory.search("tea milk", None, None, 1)] == ["both"]
    for hostile in ('"', "tea OR", "content : x", "*", "' OR 1=1 --", "\ud800", "\0", "tags : shared"):
        await store.memory.search(hostile, None, None, 10)


async def a_search_of_memory_minds_category_and_owner(open_store: OpenStore) -> None:
    store = await open_store()
    await _remember(store, "ann", "tea", principal=ANN)
    await _remember(store, "bob", "tea", principal=BOB)
    await _remember(store, "all", "tea", category="daily")
    await _remember(store, "said", "tea", principal=BOB, category="conversation")
    keys = {
        (category, reader): {hit.entry.key for hit in await store.memory.search("tea", category, reader, 10)}
        for category, reader in ((None, None), (None, ANN), ("core", ANN), ("conversation", None), ("conversation", ANN), ("odd) OR (x", ANN))
    }
    assert list(keys.values()) == [{"ann", "bob", "all", "said"}, {"ann", "all"}, {"ann"}, {"said"}, set(), set()]
    assert [entry.key for entry in await store.memory.related(("tea", "milk"), "core", BOB, 5)] == ["bob"]
    assert await store.memory.related((), "core", BOB, 5) == ()


async def what_is_remembered_is_found_also_where_there_was_nothing_before(open_store: OpenStore) -> None:
    store = await open_store()
    entry = MemoryEntry(key="created", content="tea", category="core", created_ms=1, principal=ANN)

    async def found() -> list[str]:
        return sorted([each.key for each in await store.memory.related(("tea",), "core", ANN, 5)])

    assert (await found(), await found()) == ([], [])
    await _remember(store, "said", "tea", principal=ANN, category="conversation")
    assert await found() == []
    await _remember(store, "put", "tea", principal=ANN)
    assert await found() == ["put"]
    await store.memory.remove("put", None)
    assert (await found(), await found()) == ([], [])
    creating = store.memory.create(entry, ANN)  # asked while it is being written, too
    asked = [store.memory.related(("tea",), "core", ANN, 5) for _ in range(4)]
    await creating
    for each in asked:
        await each
    assert await found() == ["created"]


async def a_replaced_or_forgotten_memory_is_found_no_more(open_store: OpenStore) -> None:
    store = await open_store()
    await _remember(store, "k", "green tea", principal=ANN)
    await store.memory.put(MemoryEntry(key="k", content="milk", category="conversation"))
    assert await store.memory.search("green", None, None, 5) == ()
    await _remember(store, "k", "coffee", principal=ANN)
    assert [hit.entry.content for hit in await store.memory.search("coffee milk", None, None, 5)] == ["coffee"]
    removed = await store.memory.remove("k", None)
    assert (removed and removed.content, await store.memory.remove("k", None)) == ("coffee", None)
    assert await store.memory.search("coffee", None, None, 5) == ()


async def only_its_owner_or_an_administrator_changes_a_memory(open_store: OpenStore) -> None:
    store = await open_store()
    await _remember(store, "k", "ann's", principal=ANN)
    await _remember(store, "all", "everybody's")
    bobs = MemoryEntry(key="k", content="bob's", category="core", principal=BOB)
    assert Conflict == await refusal(store.memory.create(bobs, BOB))
    assert Conflict == await refusal(store.memory.create(msgspec.structs.replace(bobs, key="all"), BOB))
    assert [await store.memory.remove("k", BOB), await store.memory.remove("all", BOB)] == [None, None]
    await store.memory.create(msgspec.structs.replace(bobs, content="ann's again", principal=ANN), ANN)
    await store.memory.create(msgspec.structs.replace(bobs, key="all", content="new", principal=None), None)
    assert {hit.entry.content for hit in (await store.memory.page(None, None, 5, 0)).hits} == {"ann's again", "new"}


def _item(number: int, text: str, session: str = SESSION, principal: str = ANN) -> inbox.Item:
    options = TurnOptions(session=session)
    return an_item(
        number, text=text, principal=principal, conversation=f"session:{session}", options=options, source="api", at_ms=NOW_MS + number - 1
    )


async def _said(store: Store, number: int, text: str, answer: str, *, model: str = "model-1", **fields: Any) -> str:  # Any: of `_item`
    """One whole turn; its item's id."""
    item = _item(number, text, **fields)
    await run(store, item)
    await store.inbox.settle(item.id, inbox.Completed(OWNER, answer, model), item.accepted_ms + 5)
    return item.id


async def _found(store: Store, query: str, principal: str | None) -> list[str]:
    return sorted(hit.message.content for hit in await store.sessions.search(query, principal, 10))


async def _remember(store: Store, key: str, content: str, *, category: str = "core", principal: str | None = None) -> None:
    created_ms = NOW_MS + (int(key) if key.isdigit() else 0)
    await store.memory.put(MemoryEntry(key=key, content=content, category=category, principal=principal, created_ms=created_ms))
