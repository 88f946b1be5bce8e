"""Store contract: devices, memory, health. Ring: testing. Source: ports/stores.py (`Devices`, `Memory`, `StoreHealth`)."""

# ruff: noqa: D103 (a case is named for the behaviour it shows)

from __future__ import annotations

import msgspec

from clawgate.domain.caller import Scope
from clawgate.domain.errors import Conflict, NotFound
from clawgate.domain.messages import MemoryEntry
from clawgate.ports.stores import Store
from clawgate.testing.store_builders import NOW_MS, OpenStore, a_device, an_entry, refusal

_replace = msgspec.structs.replace


async def a_device_is_found_by_its_hash_and_its_id(open_store: OpenStore) -> None:
    store = await open_store()
    phone = a_device("phone", scopes=frozenset({Scope.READ, Scope.CHAT}), device_type="ios", ip_address="::1", expires_ms=5, mirrored=True)
    await store.devices.add(phone)
    assert [phone, phone] == [await store.devices.by_hash(phone.token_hash), await store.devices.by_id("phone")]
    assert [await store.devices.by_hash("0" * 64), await store.devices.by_id("tablet")] == [None, None]


async def a_hash_is_added_once_even_after_revocation(open_store: OpenStore) -> None:
    store = await open_store()
    phone = a_device("phone")
    await store.devices.add(phone)
    assert Conflict == await refusal(store.devices.add(a_device("tablet", token_hash=phone.token_hash)))
    await store.devices.replace(_replace(phone, revoked_ms=NOW_MS))
    assert Conflict == await refusal(store.devices.add(a_device("tablet", token_hash=phone.token_hash)))
    assert {phone.token_hash} == await store.devices.known([phone.token_hash, "0" * 64])


async def a_revoked_device_stays_so_whatever_was_read_before(open_store: OpenStore) -> None:
    store = await open_store()
    phone = a_device("phone")
    await store.devices.add(phone)
    await store.devices.replace(_replace(phone, revoked_ms=NOW_MS))
    await store.devices.replace(_replace(phone, name="renamed"))
    assert await store.devices.by_id("phone") == _replace(phone, name="renamed", revoked_ms=NOW_MS)
    assert await store.devices.alive(NOW_MS) == ()


async def of_two_devices_with_one_hash_one_is_added(open_store: OpenStore) -> None:
    store = await open_store()
    first, second = store.devices.add(a_device("a", token_hash="1" * 64)), store.devices.add(a_device("b", token_hash="1" * 64))
    await first
    assert Conflict == await refusal(second)


async def replacing_needs_the_device_and_a_free_hash(open_store: OpenStore) -> None:
    store = await open_store()
    phone, tablet = a_device("phone"), a_device("tablet")
    assert NotFound == await refusal(store.devices.replace(phone))
    for device in (phone, tablet):
        await store.devices.add(device)
    assert Conflict == await refusal(store.devices.replace(_replace(phone, token_hash=tablet.token_hash)))
    assert phone == await store.devices.by_id("phone")


async def a_rotated_hash_opens_nothing_and_never_comes_back(open_store: OpenStore) -> None:
    store = await open_store()
    phone = a_device("phone")
    rotated = _replace(phone, token_hash="f" * 64, scopes=frozenset({Scope.READ}))
    await store.devices.add(phone)
    await store.devices.replace(rotated)
    assert (None, rotated) == (await store.devices.by_hash(phone.token_hash), await store.devices.by_hash("f" * 64))
    assert {phone.token_hash, "f" * 64} == await store.devices.known([phone.token_hash, "f" * 64, "0" * 64])
    assert Conflict == await refusal(store.devices.add(a_device("old", token_hash=phone.token_hash)))
    assert Conflict == await refusal(store.devices.replace(phone))


async def only_living_devices_are_listed_newest_first(open_store: OpenStore) -> None:
    store = await open_store()
    old, new = a_device("old", paired_ms=1), a_device("new", paired_ms=2, expires_ms=NOW_MS + 1)
    dead = (a_device("revoked", paired_ms=3, revoked_ms=4), a_device("expired", paired_ms=3, expires_ms=NOW_MS))
    for device in (old, new, *dead):
        await store.devices.add(device)
    assert (new, old) == await store.devices.alive(NOW_MS)


async def a_list_of_hashes_holds_the_mirrored_devices_and_then_the_first_paired(open_store: OpenStore) -> None:
    store = await open_store()
    first, second, third = (a_device(name, paired_ms=number) for number, name in enumerate(("first", "second", "third")))
    listed = a_device("listed", paired_ms=9, mirrored=True)
    dead = (a_device("revoked", revoked_ms=4, mirrored=True), a_device("expired", expires_ms=NOW_MS))
    for device in (listed, third, second, first, *dead):
        await store.devices.add(device)
    assert (listed, first, second) == await store.devices.to_mirror(NOW_MS, 3)
    assert (listed,) == await store.devices.to_mirror(NOW_MS, 0)
    await store.devices.mark_mirrored(["second", "nobody"])
    assert {listed, _replace(second, mirrored=True)} == set(await store.devices.to_mirror(NOW_MS, 1))


async def the_last_device_to_run_out_is_known(open_store: OpenStore) -> None:
    store = await open_store()
    assert await store.devices.paired_until(NOW_MS) is None
    for device in (a_device("expired", expires_ms=NOW_MS), a_device("revoked", revoked_ms=1)):
        await store.devices.add(device)
    assert await store.devices.paired_until(NOW_MS) is None
    for device in (a_device("soon", expires_ms=NOW_MS + 1), a_device("later", expires_ms=NOW_MS + 9)):
        await store.devices.add(device)
    assert await store.devices.paired_until(NOW_MS) == NOW_MS + 9
    await store.devices.add(a_device("always"))
    assert await store.devices.paired_until(NOW_MS) == 0


async def seen_times_are_written_for_several_devices(open_store: OpenStore) -> None:
    store = await open_store()
    for name in ("phone", "tablet", "watch"):
        await store.devices.add(a_device(name, last_seen_ms=5))
    await store.devices.touch({"phone": 7, "tablet": 9, "nobody": 9})
    await store.devices.touch({})
    assert [await _seen(store, name) for name in ("phone", "tablet", "watch")] == [7, 9, 5]


async def memory_keeps_one_text_under_a_key(open_store: OpenStore) -> None:
    store = await open_store()
    await store.memory.put(an_entry("k", "tea", 1))
    await store.memory.put(an_entry("k", "coffee", 2))
    assert (an_entry("k", "coffee", 2), None) == (await store.memory.get("k"), await store.memory.get("unknown"))
    assert await store.memory.find("tea", 5) == ()


async def memory_finds_every_word_in_any_case_newest_first(open_store: OpenStore) -> None:
    store = await open_store()
    for number, text in enumerate(("Tea at five", "tea and toast at noon", "coffee at FIVE", "GRÜSSE aus Köln")):
        await store.memory.put(an_entry(str(number), text, number))
    found = {words: [entry.key for entry in await store.memory.find(words, 2)] for words in ("AT", "five tea", "grüße", "KÖLN aus", "tea beer", "")}
    assert found == {"AT": ["2", "1"], "five tea": ["0"], "grüße": ["3"], "KÖLN aus": ["3"], "tea beer": [], "": ["3", "2"]}


async def hostile_words_are_just_words(open_store: OpenStore) -> None:
    store = await open_store()
    await store.memory.put(an_entry("plain", "nothing special"))
    await store.memory.put(an_entry("odd", r"100% of a_b in C:\temp with 'quotes' and \"more\" NEAR(x) -- *"))
    for words in ("%", "_", "\\", "'", '"', "--", "*", "a_b", "100%", "C:\\temp", "NEAR(x)"):
        assert [entry.key for entry in await store.memory.find(words, 5)] == ["odd"]
    for words in ("' OR 1=1 --", "%%", "\ud800", "n_thing", "\0", "x" * 100_000, "nothing ~"):
        assert [entry.key for entry in await store.memory.find(words, 5)] == []
    assert [entry.key for entry in await store.memory.find(" ".join(["nothing"] * 5_000), 5)] == ["plain"]


async def memory_is_trimmed_to_the_newest_of_a_category(open_store: OpenStore) -> None:
    store = await open_store()
    for number in range(5):
        await store.memory.put(an_entry(str(number), "tea", number))
    await store.memory.put(MemoryEntry(key="kept", content="tea", category="core"))
    assert [await store.memory.trim("conversation", 2), await store.memory.trim("conversation", 2)] == [3, 0]
    assert {"3", "4", "kept"} == {entry.key for entry in await store.memory.find("tea", 10)}
    assert await store.memory.trim("conversation", 0) == 2
    puts = [store.memory.put(an_entry(str(number), "coffee", -number)) for number in range(1_200)]
    for put in puts:
        await put
    assert await store.memory.trim("conversation", 1) == 1_199
    assert {"1199"} == {entry.key for entry in await store.memory.find("coffee", 10)}


async def a_well_store_says_so(open_store: OpenStore) -> None:
    store = await open_store()
    health = store.health()
    assert (health.problem, health.queue_depth) == ("", 0)
    assert health.free_bytes > 0


async def _seen(store: Store, device_id: str) -> int:
    device = await store.devices.by_id(device_id)
    assert device is not None
    return device.last_seen_ms
