"""Lists of tasks come from an index, whatever is asked for; and nothing of a removed task is left. Source: rantaiclaw.md §9."""

from __future__ import annotations

import itertools
import sqlite3

import pytest

from clawgate.domain.tasks import Filter, Priority, Status, Task
from clawgate.stores.task_rows import BELOW, COMMENTS, EVENTS, INSERT, page_query, task_row
from clawgate.stores.tasks import page

VALUES: dict[str, object] = {
    "status": Status.TODO,
    "priority": Priority.LOW,
    "assignee_id": "a",
    "group_id": "g",
    "parent_task_id": "p",
    "organization_id": "o",
    "top_level_only": True,
}
CHOICES = [names for size in range(len(VALUES) + 1) for names in itertools.combinations(VALUES, size)]


def plan(connection: sqlite3.Connection, sql: str, params: tuple[object, ...]) -> str:
    return " ".join(row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + sql, params))


@pytest.mark.parametrize("names", CHOICES, ids="+".join)
def test_every_filter_reads_an_index_in_order(connection: sqlite3.Connection, names: tuple[str, ...]) -> None:
    sql, params = page_query(Filter(**{name: VALUES[name] for name in names}))  # type: ignore[arg-type]  # values by name
    found = plan(connection, sql, (*params, 100, 0))
    assert "INDEX tasks_" in found
    assert "TEMP B-TREE" not in found
    assert ("COVERING" in found) or "parent_task_id" in names


@pytest.mark.parametrize(("sql", "index"), [(BELOW, "tasks_parent"), (COMMENTS, "task_comments_of"), (EVENTS, "task_events_of")])
def test_what_belongs_to_a_task_is_found_by_index(connection: sqlite3.Connection, sql: str, index: str) -> None:
    found = plan(connection, sql, (1,) * sql.count("?"))
    assert index in found
    assert "TEMP B-TREE" not in found


def test_a_page_agrees_with_the_filter_for_every_combination(connection: sqlite3.Connection) -> None:
    tasks = []
    for number, (status, priority, assignee, parent) in enumerate(itertools.product(Status, Priority, ("a", None), ("p", None))):
        tasks.append(
            Task(id=str(number), title="x", status=status, priority=priority, assignee_id=assignee, parent_task_id=parent, order_in_status=-1)
        )
    connection.execute("BEGIN")
    connection.executemany(INSERT, map(task_row, tasks))
    for status, priority, assignee, top in itertools.product((None, *Status), (None, *Priority), (None, "a"), (False, True)):
        wanted = Filter(status=status, priority=priority, assignee_id=assignee, top_level_only=top)
        right = [
            task
            for task in reversed(tasks)
            if status in (None, task.status) and priority in (None, task.priority) and assignee in (None, task.assignee_id)
            if not (top and task.parent_task_id)
        ]
        assert list(page(connection, wanted, 1_000, 0)) == right
    connection.execute("ROLLBACK")
