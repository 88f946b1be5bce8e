"""The OpenAPI document says of every route what is so. Source: design §3; OpenAPI 3.1.1."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from click.testing import CliRunner
from openapi_spec_validator import validate

from clawgate import __version__
from clawgate.cli import cli
from clawgate.domain.caller import Scope
from clawgate.domain.settings import Settings
from clawgate.domain.settings.model import GatewaySettings
from clawgate.testing.gateway import MemoryGateway
from clawgate.web.documented import said_of
from clawgate.web.openapi import document
from clawgate.web.router import Door, Route
from tests.web.gate import gateway
from tests.web.handler_source import reads

ROUTES = MemoryGateway(start=False).gateway.router.routes
DOCUMENT: Any = json.loads(json.dumps(document(ROUTES, __version__)))
each_route = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.endpoint)


def operation(route: Route) -> Any:  # JSON
    return DOCUMENT["paths"][re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route.path)][route.method.lower()]


def test_it_is_valid_openapi() -> None:
    validate(DOCUMENT)


def test_it_lists_every_route_and_nothing_else() -> None:
    listed = {f"{method.upper()} {path}" for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert listed == {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route.endpoint) for route in ROUTES}


@each_route
def test_a_handler_reads_what_its_documentation_says(route: Route) -> None:
    said, found = said_of(route.handler), reads(route.handler)
    assert set(found.query) <= set(said.query)
    assert {name: said.query[name] for name in found.query} == found.query
    bodies = [body for body in found.bodies if body is not object or len(found.bodies) == 1]
    if bodies:
        assert list(said.bodies) == bodies
    assert ("requestBody" in operation(route)) is bool(said.takes)


@each_route
def test_an_operation_says_who_may_come_in_and_what_refusals_look_like(route: Route) -> None:
    told = operation(route)
    if isinstance(route.auth, Scope):
        assert {"bearer": [route.auth]} in told["security"]
    else:
        assert told["security"] == ([{}, {"bearer": ["admin"]}] if route.auth is Door.LOCAL else [])
    expected = {"400", "403", "408", "413", "503"}
    expected |= {"429"} if route.limiter else set()
    expected |= {"401", "429"} if isinstance(route.auth, Scope) else set()
    expected |= {"404"} if "<" in route.path else set()
    expected |= {"101", "426"} if route.is_socket else {str(said_of(route.handler).statuses[0])}
    assert expected <= set(told["responses"])


def test_bodies_are_described_by_their_schemas() -> None:
    content = DOCUMENT["paths"]["/tasks"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert content == {"$ref": "#/components/schemas/NewTask"}
    assert "title" in DOCUMENT["components"]["schemas"]["NewTask"]["properties"]


def test_it_is_served_to_everybody() -> None:
    gate = gateway()
    answer = gate.client.get("/api/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == json.loads(json.dumps(document(gate.gateway.router.routes, __version__)))
    assert gate.client.get("/api/openapi.json").body == answer.body


def test_the_prefix_is_the_server() -> None:
    gate = MemoryGateway(Settings(gateway=GatewaySettings(path_prefix="/gate")))
    assert gate.client.get("/gate/api/openapi.json").json["servers"] == [{"url": "/gate"}]


def test_the_command_prints_the_same_document() -> None:
    printed = CliRunner().invoke(cli, ["openapi"], env={"HOME": "/nonexistent"})
    assert printed.exit_code == 0
    assert json.loads(printed.stdout) == DOCUMENT
