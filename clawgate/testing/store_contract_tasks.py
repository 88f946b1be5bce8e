"""Store contract: tasks. Ring: testing. Source: ports/tasks.py."""

# ruff: noqa: D103 (a case is named for the behaviour it shows)

from __future__ import annotations

from clawgate.domain.errors import BadRequest, Conflict, NotFound
from clawgate.domain.tasks import Actor, Comment, Detail, EventType, Filter, Patch, Status, Task, TaskEvent
from clawgate.ports.stores import Store
from clawgate.testing.store_builders import OpenStore, refusal

_NOBODY = Actor()


def _created(task: Task) -> TaskEvent:
    return TaskEvent(id=f"created {task.id}", task_id=task.id, type=EventType.CREATED)


async def _add(store: Store, task_id: str, **fields: str) -> Task:
    task = Task(id=task_id, title=task_id, **fields)  # type: ignore[arg-type]  # only texts are given
    await store.tasks.add(task, _created(task))
    return task


def _ids(prefix: str) -> list[str]:
    return [f"{prefix}{number}" for number in range(4)]


async def a_task_comes_back_as_it_was_added(open_store: OpenStore) -> None:
    store = await open_store()
    task = Task(id="t", title="é\0", due_ms=-5, metadata='{"a":[1]}', human_review=True, order_in_parent=-1, assignee_id="")
    await store.tasks.add(task, _created(task))
    assert await store.tasks.detail("t") == Detail(task, (), (), (_created(task),))
    assert await store.tasks.detail("other") is None


async def a_task_of_an_unknown_parent_or_a_taken_id_leaves_nothing(open_store: OpenStore) -> None:
    store = await open_store()
    await _add(store, "t")
    again, orphan = Task(id="t", title="again"), Task(id="o", title="o", parent_task_id="nobody")
    assert Conflict == await refusal(store.tasks.add(again, TaskEvent(id="x", task_id="t", type=EventType.CREATED)))
    assert BadRequest == await refusal(store.tasks.add(orphan, _created(orphan)))
    assert [await store.tasks.detail("o"), await store.tasks.events("o")] == [None, ()]
    assert len(await store.tasks.events("t")) == 1


async def of_two_changes_that_exclude_each_other_one_is_made(open_store: OpenStore) -> None:
    store = await open_store()
    await _add(store, "t")
    patch = Patch(status=Status.IN_PROGRESS)
    first, second = (store.tasks.change("t", patch, _NOBODY, 5, _ids(prefix)) for prefix in "ab")
    assert (await first).status is Status.IN_PROGRESS
    assert BadRequest == await refusal(second)
    assert [event.id for event in await store.tasks.events("t")] == ["created t", "a0"]


async def a_change_or_a_comment_needs_its_task(open_store: OpenStore) -> None:
    store = await open_store()
    event = TaskEvent(id="e", task_id="t", type=EventType.COMMENT)
    assert NotFound == await refusal(store.tasks.change("t", Patch(title="x"), _NOBODY, 5, _ids("a")))
    assert NotFound == await refusal(store.tasks.comment(Comment(id="c", task_id="t", content="x"), event))
    assert [await store.tasks.comments("t"), await store.tasks.events("t"), await store.tasks.detail("t")] == [(), (), None]


async def a_removed_task_takes_what_is_below_it_and_nothing_else(open_store: OpenStore) -> None:
    store = await open_store()
    for task_id, fields in {"a": {}, "b": {"parent_task_id": "a"}, "c": {"parent_task_id": "b"}, "d": {}}.items():
        await _add(store, task_id, **fields)
    await store.tasks.comment(Comment(id="c", task_id="c", content="x"), TaskEvent(id="e", task_id="c", type=EventType.COMMENT))
    assert [await store.tasks.remove("a"), await store.tasks.remove("a")] == [3, 0]
    assert [task.id for task in await store.tasks.page(Filter(), 10, 0)] == ["d"]
    assert [await store.tasks.comments("c"), await store.tasks.events("c")] == [(), ()]
