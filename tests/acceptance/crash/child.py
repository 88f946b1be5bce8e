"""The daemon as these tests start it: `twistd clawgate` with its surroundings made hostile.

The gateway knows nothing of this. What is done stands in the environment, as JSON in `CRASH_PLAN` (`Plan`), and is done from outside of it:

    its SQLite connections    are of a class that may kill the process right before or after a COMMIT, or fail it
    its Committer             tells which operations a COMMIT belongs to, by the functions that they are
    its wall clock            jumps
"""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Plan(NamedTuple):
    """What is to happen to one process.

    Attributes:
        point, when, nth: the process kills itself `when` ("before" or "after") the `nth` COMMIT that carries this operation; "" = never.
        mark: a file that gets a line right before that.
        more_schema: this process knows one migration more than there are.
        errors: names of `ERRORS` that a statement may raise while the file `trouble` is there, one in `error_every`.
        jumps: seconds that the wall clock may be off; another one every `jump_seconds`.
        offset: the wall clock is off from the start, as an earlier process left it.
        clock: a file with the seconds that the wall clock is off.
    """

    point: str = ""
    when: str = "before"
    nth: int = 1
    mark: str = ""
    more_schema: bool = False
    errors: tuple[str, ...] = ()
    error_every: int = 10
    jumps: tuple[int, ...] = ()
    jump_seconds: float = 0.3
    offset: bool = False
    clock: str = ""
    trouble: str = ""

    @property
    def environment(self) -> dict[str, str]:
        return {"CRASH_PLAN": json.dumps(self._asdict())}


ERRORS = {"ENOSPC": "database or disk is full", "EIO": "disk I/O error"}
_SAY_NOTHING = ("_plan", "_ask", "_change", "_add", "_replace")
"""Functions that return None when they are done."""
_batch: Sequence[Any] = ()
"""What the writer is committing now: one thread writes."""


def points_of(operation: Any) -> set[str]:  # clawgate.stores.operations.Operation
    """The commit points that an operation stands for, once it has been run. Empty for what changed nothing."""
    from clawgate.stores import inbox_rows

    if operation.error is not None:
        return set()
    if operation.sqls is not None:
        is_accept = not {inbox_rows.INSERT, inbox_rows.INSERT_NEW}.isdisjoint(operation.sqls)
        return {"accept"} if is_accept else {"outcome"} if operation.sqls[0] == inbox_rows.COMPLETE else set()
    function = operation.function
    named = function.keywords if isinstance(function, functools.partial) else {}
    name = (function.func if isinstance(function, functools.partial) else function).__qualname__
    is_undone = operation.value is None and name not in _SAY_NOTHING
    return set() if is_undone else _named(name, named, operation.value)


def _named(name: str, arguments: dict[str, Any], value: Any) -> set[str]:
    match name:
        case "Transitions.accept":
            return set() if value.is_duplicate else {"accept"}
        case "Transitions.claim":
            return {"claim"} if value else set()
        case "Transitions.settle":
            return {"outcome"} if not value.settled.item.is_open else {"put off"} if value.settled.item.state == "waiting" else set()
        case "_plan":
            return {"calls asked about" if any(step.state == "asked" for step in arguments["steps"]) else "calls allowed"}
        case "_ask":
            return {"question asked"}
        case "_answer":
            return {"question answered"} if value else set()
        case "_change":
            return {"call begun" if arguments["state"] == "begun" else "call made"}
        case "Transitions.claim_sends":
            return {"send claimed"} if value else set()
        case "Transitions.settle_send":
            return {"send settled"}
        case "Transitions.recover_sends":
            return {"sends recovered"} if value else set()
        case "Transitions.recover":
            return {"items recovered"} if value.states else set()
        case "Keys.purge":
            return {"keys purged"} if value else set()
        case "Transitions.purge":
            return {"messages forgotten"} if value.removed else set()
        case "_settled":
            return {"event settled" if any(effect.name == "NEXT" for effect in value.effects) else "event put off"}
        case "append":
            return {"start recorded" if arguments["deed"].action.startswith("gateway_") else "audit entry"}
        case "_prune":
            return {"audit pruned"} if value else set()
        case "_replace":
            return {"device revoked"} if arguments["device"].revoked_ms else set()
        case "_add":
            return {"device paired"}
    return set()


class Connection(sqlite3.Connection):
    """A connection that the plan happens to."""

    plan = Plan()
    seen = 0

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        self.fail(sql)
        if sql != "COMMIT":
            return super().execute(sql, parameters)
        points = set().union(*map(points_of, _batch))
        self.at(points, "before")
        cursor = super().execute(sql)
        self.at(points, "after")
        return cursor

    def executemany(self, sql: str, parameters: Any) -> sqlite3.Cursor:
        self.fail(sql)
        return super().executemany(sql, parameters)

    def executescript(self, script: str) -> sqlite3.Cursor:
        if "COMMIT;" not in script:
            return super().executescript(script)
        super().executescript(script.removesuffix("COMMIT;"))
        self.at({"migration"}, "before")
        cursor = super().execute("COMMIT").connection.cursor()
        self.at({"migration"}, "after")
        return cursor

    def at(self, points: set[str], when: str) -> None:
        plan = self.plan
        if plan.point in points and plan.when == when:
            Connection.seen += 1
            if Connection.seen >= plan.nth:
                with open(plan.mark, "a", encoding="utf-8") as file:
                    file.write(f"{when} {plan.point}\n")
                os.kill(os.getpid(), signal.SIGKILL)

    def fail(self, sql: str) -> None:
        """As a disk does: reading, writing or committing, but not while a transaction is given up."""
        if not self.plan.errors or sql.startswith(("ROLLBACK", "PRAGMA")):
            return
        if random.randrange(self.plan.error_every) == 0 and os.path.exists(self.plan.trouble):
            raise sqlite3.OperationalError(ERRORS[random.choice(self.plan.errors)])


def watch_the_store(plan: Plan) -> None:
    """Lets the plan happen to every connection that is made from now on."""
    from clawgate.domain import subscriptions
    from clawgate.services import housekeeping
    from clawgate.stores import migrations, operations, writer

    class Watched(operations.Committer):
        def commit(self, batch: Sequence[operations.Operation]) -> operations.Tally:
            global _batch
            _batch = batch
            try:
                return super().commit(batch)
            finally:
                _batch = ()

    housekeeping._PURGE_SECONDS = housekeeping._SWEEP_SECONDS = 0.3
    subscriptions.SCHEDULE = (0, *[0.2] * 500)  # type: ignore[assignment]  # an event is tried for as long as it takes, and not for days
    Connection.plan = plan
    writer.Committer = Watched  # type: ignore[misc]  # from outside, on purpose
    sqlite3.connect = functools.partial(sqlite3.connect, factory=Connection)  # type: ignore[assignment]  # as above
    if plan.more_schema:
        known = migrations.shipped()
        more = (*known, migrations.Migration(known[-1].number + 1, "CREATE TABLE more (one INTEGER);"))
        migrations.shipped = lambda: more


def shake_the_clock(plan: Plan) -> None:
    """Has the wall clock be off, and jump, until the process ends; the steady one does not."""
    from clawgate.services import clock_watch

    clock_watch._LOOK_SECONDS = 0.2  # it jumps more often than a clock does
    offset_file, steady = Path(plan.clock), time.time
    offset = float(offset_file.read_text()) if offset_file.exists() else 0.0

    def jump() -> None:
        nonlocal offset
        while True:
            time.sleep(plan.jump_seconds)
            offset = float(random.choice(plan.jumps))
            offset_file.with_suffix(".new").write_text(str(offset))
            offset_file.with_suffix(".new").replace(offset_file)

    time.time = lambda: steady() + offset
    time.time_ns = lambda: int((steady() + offset) * 1e9)
    if plan.jumps:
        threading.Thread(target=jump, daemon=True).start()


def main() -> None:
    """Becomes `twistd clawgate`."""
    plan = Plan(**json.loads(os.environ.get("CRASH_PLAN", "{}")))
    watch_the_store(plan)
    if plan.jumps or plan.offset:
        shake_the_clock(plan)
    from twisted.scripts.twistd import run

    sys.argv = ["twistd", "-n", "--pidfile=", "clawgate", *sys.argv[1:]]
    run()
