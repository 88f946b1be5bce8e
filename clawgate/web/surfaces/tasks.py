"""`/tasks`: work that people and agents hand to one another. Ring: edge (web). Source: rantaiclaw.md §9.

Order of checks: limiter · bearer · `[tasks] enabled` · query and body.
"""

from __future__ import annotations

from functools import wraps

import msgspec

from clawgate.domain.caller import Scope
from clawgate.domain.tasks import MOST_LISTED, Actor, Filter
from clawgate.services.tasks import Tasks
from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import Call
from clawgate.web.dialects import tasks_wire
from clawgate.web.dialects.tasks_wire import comment_object, detail_object, event_object, task_object
from clawgate.web.documented import documented
from clawgate.web.router import AnyAnswer, Handler, Router

_MOST_SKIPPED = 2**32 - 1


class TasksSurface(msgspec.Struct):
    """The routes of tasks."""

    tasks: Tasks

    def register(self, router: Router) -> None:
        """Adds the routes."""

        def add(method: str, path: str, handler: Handler, scope: Scope, summary: str) -> None:
            router.add(method, path, self._when_enabled(handler), auth=scope, limiter="api", dialect=tasks_wire.refusal, summary=summary)

        add("GET", "/tasks", self.list, Scope.READ, "Tasks, filtered, a page at a time")
        add("POST", "/tasks", self.create, Scope.WRITE, "Add a task")
        add("GET", "/tasks/<task_id>", self.show, Scope.READ, "A task with subtasks, comments and history")
        add("PUT", "/tasks/<task_id>", self.edit, Scope.WRITE, "Change a task; null clears")
        add("DELETE", "/tasks/<task_id>", self.remove, Scope.WRITE, "Remove a task and everything below it")
        add("POST", "/tasks/<task_id>/review", self.review, Scope.WRITE, "Approve, send back or reject a task in review")
        add("GET", "/tasks/<task_id>/comments", self.comments, Scope.READ, "Comments on a task")
        add("POST", "/tasks/<task_id>/comments", self.comment, Scope.WRITE, "Comment on a task")
        add("GET", "/tasks/<task_id>/events", self.events, Scope.READ, "History of a task")

    def _when_enabled(self, handler: Handler) -> Handler:
        @wraps(handler)
        async def guarded(call: Call) -> AnyAnswer:
            self.tasks.check_enabled()
            return await handler(call)

        return guarded

    @documented(query={**dict.fromkeys(Filter.__struct_fields__, str), "top_level_only": bool, "limit": int, "offset": int})
    async def list(self, call: Call) -> Answer:
        """A bare array; without `limit` the first 100, at most 1000."""
        wanted = tasks_wire.wanted({name: call.query(name) for name in Filter.__struct_fields__}, top_level_only=call.flag("top_level_only"))
        limit = call.number("limit", tasks_wire.DEFAULT_PAGE, most=MOST_LISTED)
        found = await self.tasks.page(wanted, limit, call.number("offset", 0, most=_MOST_SKIPPED))
        return json_answer(200, [task_object(task) for task in found])

    @documented(body=tasks_wire.NewTask, statuses=(201,))
    async def create(self, call: Call) -> Answer:
        """The new task."""
        body = call.json(tasks_wire.NewTask)
        return json_answer(201, task_object(await self.tasks.create(tasks_wire.new_task(body), body.actor)))

    async def show(self, call: Call) -> Answer:
        """The task with what belongs to it."""
        return json_answer(200, detail_object(await self.tasks.detail(_id(call))))

    @documented(body=tasks_wire.EditedTask)
    async def edit(self, call: Call) -> Answer:
        """The task after the edit."""
        patch = tasks_wire.patch(call.json(tasks_wire.EditedTask))
        return json_answer(200, task_object(await self.tasks.change(_id(call), patch, Actor())))

    async def remove(self, call: Call) -> Answer:
        """The id of what is gone."""
        await self.tasks.remove(_id(call))
        return json_answer(200, {"deleted": _id(call)})

    @documented(body=tasks_wire.ReviewBody)
    async def review(self, call: Call) -> Answer:
        """The task after the reviewer's decision."""
        body = call.json(tasks_wire.ReviewBody)
        return json_answer(200, task_object(await self.tasks.change(_id(call), body.review, body.actor)))

    async def comments(self, call: Call) -> Answer:
        """A bare array, oldest first; empty also for an unknown task."""
        return json_answer(200, [comment_object(comment) for comment in await self.tasks.comments(_id(call))])

    @documented(body=tasks_wire.CommentBody, statuses=(201,))
    async def comment(self, call: Call) -> Answer:
        """The new comment."""
        body = call.json(tasks_wire.CommentBody)
        return json_answer(201, comment_object(await self.tasks.comment(_id(call), body.content, body.author)))

    async def events(self, call: Call) -> Answer:
        """A bare array, oldest first; empty also for an unknown task."""
        return json_answer(200, [event_object(event) for event in await self.tasks.history(_id(call))])


def _id(call: Call) -> str:
    return str(call.values["task_id"])
