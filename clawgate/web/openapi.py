"""The OpenAPI 3.1 document of a table of routes. Ring: edge (web). Source: design §3; OpenAPI 3.1.1.

Everything is taken from what serves the request: methods and paths from the table, security from `auth`, refusals and their bodies by asking the route's
dialect, schemas from the types that handlers decode (`documented`). Paths stand below `gateway.path_prefix`, which is the document's server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from clawgate.domain import errors
from clawgate.domain.caller import Scope
from clawgate.domain.errors import GatewayError
from clawgate.web.dialects import root_wire
from clawgate.web.documented import JSON, TEXT, Documented, said_of
from clawgate.web.router import Dialect, Door, Route

Json = dict[str, object]
_CONVERTER = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
_EVERYWHERE: tuple[GatewayError, ...] = (errors.BadRequest("why"), errors.Forbidden("why"), errors.TooLarge("why"), errors.Unavailable())
_CREDENTIAL: tuple[GatewayError, ...] = (errors.Unauthenticated(), errors.LockedOut(300))
_BODY: tuple[GatewayError, ...] = (errors.UnsupportedMedia("why"), errors.WrongShape("why"))
_TYPES: dict[type, Json] = {str: {"type": "string"}, int: {"type": "integer", "minimum": 0}, bool: {"type": "boolean"}}
_KINDS = {str: "string", int: "integer", bool: "boolean"}
_SEGMENT: Json = {"type": "string", "minLength": 1, "pattern": r"^[^\x00-\x1f\x7f-\x9f/\\]+$"}
"""What `paths.check_path` lets through, dot segments aside."""
_DOORS = {
    Door.PUBLIC: "Anybody.",
    Door.SIGNED: "Who presents the right code, secret or signature.",
    Door.LOCAL: "This machine, or a token with `admin`.",
}
_ABOUT = (
    "The front door of AI agents. `HEAD` works wherever `GET` does; another method of a known path is answered 405 with `Allow`, an unknown path 404. "
    "Refusals are JSON with the field `error`; 429 and 503 carry `Retry-After`. A WebSocket is marked `x-websocket`; without a handshake it is 426."
)


def document(routes: Iterable[Route], version: str, prefix: str = "") -> Json:
    """The document as JSON values.

    Args:
        prefix: raw path that all of them stand below, "" = none.
    """
    known = tuple(routes)
    bodies = {repr(body): body for route in known for body in said_of(route.handler).bodies}
    shapes, schemas = msgspec.json.schema_components(bodies.values(), schema_hook=_any, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(bodies, shapes, strict=True))
    refusals = {_refusal_name(route.dialect): _refusal_schema(route.dialect) for route in known}
    paths: dict[str, Json] = {}
    for route in known:
        paths.setdefault(_path(route), {})[route.method.lower()] = _operation(route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "clawgate", "version": version, "description": _ABOUT},
        "servers": [{"url": prefix or "/"}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted({**schemas, **refusals}.items())),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": f"A token from `POST /pair`. Scopes: {', '.join(Scope)}."},
                "ticket": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "ticket",
                    "description": "From `POST /api/events/ticket`; once, within 30 seconds.",
                },
            },
        },
    }


def _any(kind: type) -> dict[str, Any]:  # as msgspec has it
    """What is decoded by the handler itself may be anything."""
    return {"description": "Anything"}


def _path(route: Route) -> str:
    return _CONVERTER.sub(r"{\1}", route.path)


def _operation(route: Route, schema_of: Mapping[str, Json]) -> Json:
    said = said_of(route.handler)
    operation: Json = {
        "operationId": re.sub(r"[^a-z0-9]+", "_", f"{route.method} {_path(route)}".lower()).strip("_"),
        "summary": route.summary,
        "tags": [_path(route).removeprefix("/api/v1").removeprefix("/api").split("/")[1] or "root"],
        "security": _security(route),
        "responses": {str(status): answer for status, answer in sorted(_answers(route, said).items())},
    }
    parameters = [*_path_parameters(route), *_query_parameters(route, said)]
    if parameters:
        operation["parameters"] = parameters
    if said.takes:
        schemas = [schema_of[repr(body)] for body in said.bodies]
        schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas} if schemas else {}
        operation["requestBody"] = {"required": said.is_needed, "content": {said.takes: {"schema": schema}}}
    if isinstance(route.auth, Door):
        operation["description"] = _DOORS[route.auth]
    if route.is_socket:
        operation["x-websocket"] = True
    if route.limiter:
        operation["x-limit"] = f"gateway.{route.limiter}_rate_limit_per_minute"
    return operation


def _security(route: Route) -> list[dict[str, list[str]]]:
    """OpenAPI 3.1 lets any scheme name roles; ours are scopes."""
    if isinstance(route.auth, Scope):
        ways: list[dict[str, list[str]]] = [{"bearer": [str(route.auth)]}]
        ways += [{"ticket": []}] if route.takes_ticket else []
        return [*ways, *([{}] if route.is_open_here else [])]
    return [{}, {"bearer": [str(Scope.ADMIN)]}] if route.auth is Door.LOCAL else []


def _path_parameters(route: Route) -> list[Json]:
    names = _CONVERTER.findall(route.path)
    return [{"name": name, "in": "path", "required": True, "schema": _SEGMENT} for name in names]


def _query_parameters(route: Route, said: Documented) -> list[Json]:
    return [{"name": name, "in": "query", "required": False, "schema": _TYPES[kind]} for name, kind in said.query.items()]


def _answers(route: Route, said: Documented) -> dict[int, Json]:
    answers = {status: _refusal(route, status) for status in _refused(route, said)}
    answers[408] = {"description": _reason(408), "content": {TEXT: {}, **_refusal_content(route)}}
    answers |= {status: _answer(status, said) for status in said.statuses}
    if route.is_socket:
        answers[101] = {"description": "The socket is open"}
        answers.pop(200, None)
    return answers


def _refused(route: Route, said: Documented) -> set[int]:
    """Statuses of the refusals that such a route can give, in its own dialect; before the route is found it is the root's."""
    problems = list(_EVERYWHERE)
    if route.auth is not Door.PUBLIC:
        problems += _CREDENTIAL
    if route.limiter:
        problems.append(errors.RateLimited(route.limiter, 60))
    if "<" in route.path:
        problems.append(errors.NotFound("it"))
    if route.method != "GET":
        problems.append(errors.Conflict("why"))
    if said.takes:
        problems += _BODY
    if route.is_socket:
        problems.append(errors.NoHandshake("why"))
    problems += [kind("why") for kind in said.raises]
    return {route.dialect(problem)[0] for problem in problems} | {root_wire.refusal(problem)[0] for problem in _EVERYWHERE}


def _refusal(route: Route, status: int) -> Json:
    headers: Json = {}
    if status in (429, 503):
        headers["Retry-After"] = {"schema": {"type": "integer", "minimum": 1}, "description": "Seconds"}
    answer: Json = {"description": _reason(status), "content": _refusal_content(route)}
    return {**answer, "headers": headers} if headers else answer


def _refusal_content(route: Route) -> Json:
    return {JSON: {"schema": {"$ref": f"#/components/schemas/{_refusal_name(route.dialect)}"}}}


def _answer(status: int, said: Documented) -> Json:
    return {"description": _reason(status), "content": {media: {} for media in said.gives}}


def _refusal_name(dialect: Dialect) -> str:
    module = dialect.__module__.rpartition(".")[2].removesuffix("_wire")
    return f"{module}.{dialect.__name__}" if module != "root" else "refusal"


def _refusal_schema(dialect: Dialect) -> Json:
    """An object with every field that the dialect's answers have; those that all have are required."""
    samples = (*_EVERYWHERE, *_CREDENTIAL, *_BODY, errors.RateLimited("api", 60), errors.NotFound("it"), errors.Conflict("why"))
    found = [wording(problem)[1] for problem in samples for wording in (dialect, root_wire.refusal)]
    kinds: dict[str, str] = {}
    for body in found:
        kinds |= {name: _KINDS[type(value)] for name, value in body.items()}
    required = sorted(set(kinds).intersection(*map(set, found)))
    return {"type": "object", "properties": {name: {"type": kind} for name, kind in sorted(kinds.items())}, "required": required}


def _reason(status: int) -> str:
    return HTTPStatus(status).phrase
