"""What a handler says of itself to those who read the OpenAPI document. Ring: edge (web). Source: design §3.

Only what the route's own fields cannot tell stands here: the shape of the body, query parameters, statuses and media types. Who may come in, limits
and refusals are taken from the route. tests/web/test_openapi.py compares what is said here with what the handlers' source reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from clawgate.domain.errors import GatewayError

Function = TypeVar("Function", bound=Callable[..., Any])  # handlers, before and after they are bound
JSON, TEXT, FORM, ANYTHING = "application/json", "text/plain", "multipart/form-data", "*/*"


class Documented(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler takes and gives.

    Attributes:
        body: the type that its body is decoded as, or a tuple of them; None = it reads none, or one of a platform's.
        is_needed: a request without a body is refused.
        takes: media type of the body, "" = it reads none.
        query: its query parameters, str, int (from 0) or bool each.
        statuses: of answers that are no refusals of its dialect.
        gives: media types of those answers.
        raises: refusals that its kind of route does not have anyway.
    """

    body: Any = None  # whatever msgspec can decode
    is_needed: bool = True
    takes: str = ""
    query: Mapping[str, type] = {}
    statuses: tuple[int, ...] = (200,)
    gives: tuple[str, ...] = (JSON,)
    raises: tuple[type[GatewayError], ...] = ()

    @property
    def bodies(self) -> tuple[Any, ...]:  # as `body`
        """Every type that the body may be decoded as."""
        return self.body if isinstance(self.body, tuple) else () if self.body is None else (self.body,)


PLAIN = Documented()
_NAME = "__documented__"


def documented(*, body: Any = None, takes: str = "", **more: Any) -> Callable[[Function], Function]:  # Any: fields of Documented
    """Says what a handler takes and gives; the handler stays as it is."""
    said = Documented(body=body, takes=takes or (JSON if body is not None else ""), **more)

    def put(function: Function) -> Function:
        vars(function)[_NAME] = said
        return function

    return put


def said_of(handler: object) -> Documented:
    """What was said of a handler; the defaults if nothing was."""
    found = getattr(handler, _NAME, PLAIN)
    return found if isinstance(found, Documented) else PLAIN
