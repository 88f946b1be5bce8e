"""Lists of tasks: how long a page takes among very many."""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from clawgate.domain.tasks import Filter, Priority, Status, Task
from clawgate.stores import task_rows
from clawgate.stores.migrations import migrate, shipped
from clawgate.stores.tasks import page

TOGETHER = Filter(status=Status.CANCELLED, priority=Priority.LOW, assignee_id="a7", organization_id="o3")
FILTERS: dict[str, Filter] = {
    "none": Filter(),
    "status": Filter(status=Status.TODO),
    "priority": Filter(priority=Priority.HIGH),
    "assignee": Filter(assignee_id="a7"),
    "group": Filter(group_id="g2"),
    "parent": Filter(parent_task_id="t10"),
    "organization": Filter(organization_id="o3"),
    "top level": Filter(top_level_only=True),
    "status and priority": Filter(status=Status.DONE, priority=Priority.HIGH),
    "assignee and a status it never has": Filter(status=Status.IN_REVIEW, assignee_id="a7"),
    "top level and status": Filter(status=Status.TODO, top_level_only=True),
    "four at once": TOGETHER,
}


def list_rows(directory: Path, count: int, rounds: int = 200) -> Iterator[tuple[str, float, float]]:
    """The name of each filter with p50 and p95 in milliseconds of its first page of 100, among `count` tasks."""
    path = str(directory / "tasks.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, path, shipped(), 0, 0)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN")
        connection.executemany(task_rows.INSERT, (task_rows.task_row(_task(number)) for number in range(count)))
        connection.execute("COMMIT")
        for name, wanted in FILTERS.items():
            took = sorted(_milliseconds(connection, wanted, 0) for _ in range(rounds))
            yield name, statistics.median(took), took[int(len(took) * 0.95)]
        took = sorted(_milliseconds(connection, Filter(), count - 100) for _ in range(rounds))
        yield "none, the last page", statistics.median(took), took[int(len(took) * 0.95)]


def _milliseconds(connection: sqlite3.Connection, wanted: Filter, offset: int) -> float:
    began = time.perf_counter()
    page(connection, wanted, 100, offset)
    return (time.perf_counter() - began) * 1000


def _task(number: int) -> Task:
    statuses = [status for status in Status if status is not Status.IN_REVIEW or number % 50 != 7]
    return Task(
        id=f"t{number}",
        title=f"Task {number} with a title of an ordinary length",
        description="What is to be done, in a few sentences. " * 10,
        status=statuses[number // 50 % len(statuses)],
        priority=list(Priority)[number % 3],
        assignee_id=f"a{number % 50}",
        group_id=f"g{number % 20}",
        organization_id=f"o{number % 4}",
        parent_task_id=f"t{number // 10}" if number % 2 and number > 20 else None,
        order_in_status=number % 1000,
        created_ms=number,
        updated_ms=number,
    )
