"""A synchronous test case that cannot pass by not running. Ring: testing. Source: codebases.md T8."""

from __future__ import annotations

import inspect
from typing import Any

from twisted.trial.unittest import SynchronousTestCase


class TestCase(SynchronousTestCase):
    """Trial's synchronous case, refusing coroutine tests: trial would call them, get a coroutine, and report success."""

    __test__ = True

    def __init_subclass__(cls, **kwargs: Any) -> None:  # Any: what other bases in the class statement take
        """
        Raises:
            TypeError: a test method is `async`; use `Deferred.fromCoroutine` and `successResultOf`.
        """
        super().__init_subclass__(**kwargs)
        for name, member in vars(cls).items():
            function = inspect.unwrap(getattr(member, "__func__", member)) if callable(getattr(member, "__func__", member)) else None
            if name.startswith("test") and (inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)):
                raise TypeError(f"{cls.__qualname__}.{name} is a coroutine and would never run; drive it with Deferred.fromCoroutine")
