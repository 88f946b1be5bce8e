"""Pairing codes, tokens and devices. Ring: edge (web).

Source: zeroclaw.md A3 (/pair), B1, B3, B4; construct-realtime.md §1; design §4.6, §4.8–4.10.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import msgspec

from clawgate.domain.caller import Scope
from clawgate.domain.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from clawgate.domain.pairing import Grant
from clawgate.domain.tokens import earliest, narrowed, parse_scopes
from clawgate.ports.clock import Clock
from clawgate.services.devices import Devices, Issued
from clawgate.services.guard import Guard
from clawgate.services.pairing import NO_SCOPE, Pairing
from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import DECODE_ERRORS, Call
from clawgate.web.dialects import pairing_wire as wire
from clawgate.web.dialects import root_wire
from clawgate.web.documented import documented
from clawgate.web.router import Door, Recorded, Router

_BAD_PAIR_BODY = 'Invalid JSON body. Expected: {"code": "..."}'
_BAD_CODE_BODY = 'Invalid JSON body. Expected: {"name"?: "...", "scopes"?: ["..."], "ttl_secs"?: 0, "code_ttl_secs"?: 3600}'
_MORE_THAN_YOURS = "Forbidden — the pending code gives more than this token holds"
_MAX_SECONDS = 100 * 365 * 86_400


class PairBody(msgspec.Struct):
    """`POST /api/pair`; names that are no strings count as absent, as upstream."""

    code: object = ""
    device_name: object = None
    device_type: object = None


class CodeBody(msgspec.Struct):
    """What an operator may ask of a new code; an empty body asks for everything."""

    name: str | None = None
    scopes: tuple[str, ...] = ()
    ttl_secs: Annotated[int, msgspec.Meta(ge=0, le=_MAX_SECONDS)] = 0
    code_ttl_secs: Annotated[int, msgspec.Meta(ge=0, le=_MAX_SECONDS)] = 0


class PairingSurface(msgspec.Struct):
    """The door by which devices come and go."""

    pairing: Pairing
    devices: Devices
    guard: Guard
    clock: Clock

    def register(self, router: Router) -> None:
        """Adds the routes."""
        add = router.add
        add("POST", "/pair", self.pair, auth=Door.SIGNED, limiter="pair", dialect=wire.pair_refusal, summary="Exchange a code for a token")
        add("POST", "/api/pair", self.api_pair, auth=Door.SIGNED, limiter="pair", dialect=wire.api_pair_refusal, summary="Pair by JSON")
        add("GET", "/pair/code", self.first_code, auth=Door.LOCAL, summary="The code of an unpaired gateway")
        add("GET", "/admin/paircode", self.code, auth=Door.LOCAL, recorded=Recorded.ALWAYS, summary="The pending code")
        taking = partial(add, dialect=wire.device_refusal, recorded=Recorded.IN_ANY_CASE)
        taking("POST", "/admin/paircode/new", self.new_code, auth=Door.LOCAL, summary="A new code")
        device = partial(add, limiter="api", dialect=wire.device_refusal)
        device("POST", "/api/pairing/initiate", self.initiate, auth=Scope.ADMIN, summary="A new code for another device")
        device("GET", "/api/devices", self.list_devices, auth=Scope.READ, summary="Paired devices")
        ending = partial(taking, auth=Scope.ADMIN, limiter="api", ends_device="device_id")
        ending("DELETE", "/api/devices/<device_id>", self.revoke, summary="Revoke a device")
        ending("POST", "/api/devices/<device_id>/token/rotate", self.rotate, summary="Revoke and re-pair")

    async def pair(self, call: Call) -> Answer:
        """The header's code for a token; the body is ignored."""
        issued = await self._try(call, call.header("x-pairing-code") or "", None, "legacy-pair")
        return self._paired(issued, root_wire.PAIRED if issued.persisted else root_wire.PAIRED_UNSAVED)

    @documented(body=PairBody)
    async def api_pair(self, call: Call) -> Answer:
        """The body's code for a token."""
        body = call.decode(PairBody, _BAD_PAIR_BODY)
        issued = await self._try(call, _text(body.code) or "", _text(body.device_name), _text(body.device_type))
        return self._paired(issued, "Pairing successful")

    async def first_code(self, call: Call) -> Answer:
        """The code, while nothing is paired."""
        code = self.pairing.pending_code if self.pairing.required and not await self.devices.any_paired() else None
        return json_answer(200, {"success": True, "pairing_required": self.pairing.required, "pairing_code": code})

    async def code(self, call: Call) -> Answer:
        """The pending code, whatever is paired; to see it is to hold what it gives, so nobody sees one that gives more than it has."""
        if not self.pairing.required:
            return self._code(None, wire.CODE_OFF)
        code = self.pairing.pending_code
        if code is not None and not self.pairing.pending_grant.is_within(call.caller.scopes, call.caller.expires_ms):
            raise Forbidden(_MORE_THAN_YOURS)
        return self._code(code, wire.CODE_NONE if code is None else wire.CODE_READY)

    @documented(query={"rotate": str}, body=CodeBody, is_needed=False, raises=(NotFound,))
    async def new_code(self, call: Call) -> Answer:
        """A new code with what the operator asked for; `?rotate=all` or `?rotate=<device id>` revokes first."""
        if not self.pairing.required:
            return json_answer(400, {"success": False, "pairing_required": False, "pairing_code": None, "message": wire.CODE_OFF})
        body = _code_body(call)
        caller = call.caller
        scopes = _scopes(body.scopes, caller.scopes)
        grant = Grant(name=body.name, scopes=scopes, ttl_seconds=body.ttl_secs, issuer=caller.principal, until_ms=caller.expires_ms)
        rotate = call.query("rotate")
        if rotate == "all":
            await self.devices.revoke_all(caller.principal)
        elif rotate:
            await self.devices.revoke(rotate, caller.principal)
        return self._code(self.pairing.issue(grant, body.code_ttl_secs or None), wire.CODE_NEW)

    @documented(body=CodeBody, is_needed=False)
    async def initiate(self, call: Call) -> Answer:
        """A code for another device, with what the body asks for and no more than the caller has; an empty body asks for everything."""
        body, caller = _code_body(call), call.caller
        scopes = _scopes(body.scopes, caller.scopes)
        grant = Grant(name=body.name, scopes=scopes, ttl_seconds=body.ttl_secs, issuer=caller.principal, until_ms=caller.expires_ms)
        code = self.pairing.issue(grant, body.code_ttl_secs or None)
        return json_answer(200, {"pairing_code": code, "message": wire.INITIATED})

    async def list_devices(self, call: Call) -> Answer:
        """Live devices, newest first."""
        devices = [wire.device_object(device) for device in await self.devices.listed()]
        return json_answer(200, {"devices": devices, "count": len(devices)})

    async def revoke(self, call: Call) -> Answer:
        """Token, row and connections, dead in one step."""
        device = await self.devices.revoke(str(call.values["device_id"]), call.caller.principal)
        return json_answer(200, {"message": wire.REVOKED, "device_id": device.id})

    async def rotate(self, call: Call) -> Answer:
        """The token dies at once; the code re-pairs the device with what it had, never more."""
        device_id = str(call.values["device_id"])
        device = await self.devices.find(device_id)
        if not self.pairing.required:
            raise Conflict(wire.CODE_OFF)
        scopes = narrowed(device.scopes, call.caller.scopes)
        if not scopes:
            raise Forbidden(NO_SCOPE)
        await self.devices.revoke(device_id, call.caller.principal)
        code = None
        if self.pairing.pending_code is None:
            until_ms = earliest(device.expires_ms, call.caller.expires_ms)
            grant = Grant(name=device.name, device_type=device.device_type, scopes=scopes, issuer=call.caller.principal, until_ms=until_ms)
            code = self.pairing.issue(grant)
        message = wire.ROTATED if code is not None else wire.ROTATED_NO_CODE
        return json_answer(200, {"device_id": device_id, "pairing_code": code, "message": message})

    async def _try(self, call: Call, code: str, name: str | None, device_type: str | None) -> Issued:
        """The auth limiter stands before the code, so that guessing costs time even across lockouts."""
        self.guard.check_failures(call.peer)
        try:
            return await self.pairing.pair(code, call.peer, name=name, device_type=device_type)
        except Unauthenticated:
            self.guard.record_failure(call.peer, "pairing")
            raise

    def _paired(self, issued: Issued, message: str) -> Answer:
        body = wire.paired_object(issued.token, persisted=issued.persisted, issued_ms=issued.device.paired_ms, message=message)
        return json_answer(200, body | {"scopes": sorted(issued.device.scopes)})

    def _code(self, code: str | None, message: str) -> Answer:
        body = {"success": True, "pairing_required": self.pairing.required, "pairing_code": code, "message": message}
        return json_answer(200, body)


def _scopes(names: tuple[str, ...], own: frozenset[Scope]) -> frozenset[Scope]:
    """What is asked for and held. Raises BadRequest for a name that is no scope, Forbidden when nothing is left."""
    try:
        wanted = parse_scopes(names)
    except Invalid as problem:
        raise BadRequest(str(problem)) from None
    scopes = narrowed(wanted, own)
    if not scopes:
        raise Forbidden(NO_SCOPE)
    return scopes


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _code_body(call: Call) -> CodeBody:
    if not call.body.strip():
        return CodeBody()
    try:
        return msgspec.json.decode(call.body, type=CodeBody)
    except DECODE_ERRORS as problem:
        raise BadRequest(_BAD_CODE_BODY, detail=str(problem)) from None
