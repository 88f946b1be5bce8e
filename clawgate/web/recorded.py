"""Commands of operators, recorded before they are carried out and after. Ring: edge (web). Source: docs/howto/audit.md; `router.Recorded` says which routes.

    asked → on disk → carried out → ok, refused (with the status) or failed → on disk → the answer

What cannot be recorded is not carried out (503), but for routes that take something away. An `asked` without an end was cut off by the end of the process.
"""

from __future__ import annotations

from clawgate.domain.audit import Action, Outcome
from clawgate.domain.errors import GatewayError
from clawgate.ports.audit import Recorder
from clawgate.web.call import Call
from clawgate.web.router import AnyAnswer, Recorded, Route, Router
from clawgate.web.sockets import SocketAnswer


async def carried_out(audit: Recorder, router: Router, route: Route, call: Call) -> AnyAnswer:
    """The handler's answer to a command.

    Raises:
        StoreUnavailable: it was not recorded, and nothing was done.
    """
    values = {name: str(value) for name, value in call.values.items()} or None
    about = {"client": call.caller.client or None, "values": values}
    begin = audit.attempt if route.recorded is Recorded.IN_ANY_CASE else audit.record
    await begin(Action.COMMAND, call.caller.principal, route.endpoint, Outcome.ASKED, **about)
    outcome: Outcome = Outcome.FAILED
    status: int | None = 500
    refusal: str | None = None
    try:
        answer = await router.execute(route, call.request, call)
        status = 101 if isinstance(answer, SocketAnswer) else answer.status
        outcome = Outcome.OK if status < 400 else Outcome.REFUSED
        return answer
    except GatewayError as problem:
        outcome, status, refusal = Outcome.REFUSED, None, type(problem).__name__
        raise
    finally:
        await audit.attempt(Action.COMMAND, call.caller.principal, route.endpoint, outcome, **about, status=status, problem=refusal)
