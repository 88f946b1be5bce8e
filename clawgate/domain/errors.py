"""The one tree of errors that the house raises. Ring: domain.

    GatewayError
      Invalid            an operator wrote something that cannot work (path, problem, remedy)
        InvalidSettings  every such thing in one configuration (problems)
      Refusal            a caller asked for something it will not get
        BadRequest (UnsupportedMedia · NoHandshake · WrongShape · InvalidContent · RejectedContent · UnsupportedFile)
        Unauthenticated · NoSecret · Forbidden · NotFound · Conflict (NotApplied) · TooLarge · RateLimited · LockedOut · NotConfigured · SwitchedOff
      Unavailable        not now, perhaps later (retry_after_seconds)
        StoreUnavailable · Overloaded · Draining
      ExtractionFailed   a file could not be read
      AgentError         a model or program behind the gateway failed (code, retryable)
      ToolUncertain      a tool was called and nobody knows what came of it
      SendError          a reply could not be handed to its channel
        SendRefused · SendUnavailable · SendUncertain

Those that only one noun raises stand with it, as `triggers.NoTrigger` does.

Status codes and sentences for clients are not here: they exist in `web/answers.py` and `web/dialects`. `detail` is for the operator's log
and is never sent to a client.
"""

from __future__ import annotations

from collections.abc import Mapping


class GatewayError(Exception):
    """Root of everything the gateway raises on purpose."""

    def __init__(self, message: str = "", *, detail: str = "") -> None:
        super().__init__(message or type(self).__name__)
        self.detail = detail


class Invalid(GatewayError):
    """An operator's setting, option or file cannot work.

    Attributes:
        path: dotted path of the setting, or the file's name.
        remedy: what to write or do instead, as a sentence.
    """

    def __init__(self, path: str, problem: str, remedy: str = "") -> None:
        self.path, self.problem, self.remedy = path, problem, remedy
        super().__init__(f"{path}: {problem}" + (f". {remedy}" if remedy else ""))


class InvalidSettings(Invalid):
    """A configuration cannot work; `str` gives one line for each problem.

    Attributes:
        problems: at least one, in the order of the settings.
    """

    def __init__(self, problems: tuple[Invalid, ...]) -> None:
        first = problems[0]
        super().__init__(first.path, first.problem, first.remedy)
        self.problems = problems
        self.args = ("\n".join(str(problem) for problem in problems),)


class Refusal(GatewayError):
    """The request is understood and refused."""


class BadRequest(Refusal):
    """The body, query or header does not have the required shape; `str(error)` says what was expected."""


class UnsupportedMedia(BadRequest):
    """The body is not of the content type that the route takes."""


class NoHandshake(BadRequest):
    """A plain request where a WebSocket is expected."""


class WrongShape(BadRequest):
    """The body is JSON and not of the shape that the route takes."""


class InvalidContent(BadRequest):
    """A text cannot be remembered: nothing is in it, or too much."""


class RejectedContent(BadRequest):
    """A text must not be remembered: it looks like something that only the gateway writes."""


class UnsupportedFile(BadRequest):
    """A file of a kind that no text can be taken from."""


class Unauthenticated(Refusal):
    """No credential, or one that is unknown, expired or revoked."""


class NoSecret(Refusal):
    """A signed route has no secret to check signatures with: everything is refused."""


class Forbidden(Refusal):
    """The credential is good and does not cover this.

    Attributes:
        scope: the scope that would have been needed, or "" when no scope helps.
    """

    def __init__(self, message: str = "", *, scope: str = "", detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.scope = scope


class NotFound(Refusal):
    """The named thing does not exist, or is not the caller's to see."""


class Conflict(Refusal):
    """The thing is in a state where this cannot be done."""


class NotApplied(Conflict):
    """A change of the configuration that could not be taken up; everything is as before.

    Attributes:
        errors: sentences by what they are about: a channel, a server, a dotted path. No secrets.
    """

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in errors.items()))
        self.errors = dict(errors)


class TooLarge(Refusal):
    """The body is over the route's cap."""


class NotConfigured(Refusal):
    """The route belongs to a channel that is not configured.

    Attributes:
        what: the channel's name as users know it, such as "WhatsApp".
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} not configured")
        self.what = what


class RateLimited(Refusal):
    """Too many requests in the window.

    Attributes:
        limiter: which limiter refused ("pair", "webhook", "api", "auth").
        retry_after_seconds: when it is worth trying again.
    """

    def __init__(self, limiter: str, retry_after_seconds: int) -> None:
        super().__init__(f"{limiter} rate limit")
        self.limiter, self.retry_after_seconds = limiter, retry_after_seconds


class LockedOut(Refusal):
    """Too many wrong pairing codes from this client."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__("locked out")
        self.retry_after_seconds = retry_after_seconds


class Unavailable(GatewayError):
    """Not now. Nothing was accepted; the same request may be sent again."""

    def __init__(self, message: str = "", *, retry_after_seconds: int = 5, detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.retry_after_seconds = retry_after_seconds


class StoreUnavailable(Unavailable):
    """The store could not commit: disk full, file locked, closed, or its queue is full."""


class Overloaded(Unavailable):
    """A bound was reached; the request was refused before anything was accepted."""


class SwitchedOff(Refusal):
    """The operator has switched this part off; `what` is its name in the settings, such as "knowledge".

    Attributes:
        what: the section with `enabled = false`.
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"set [{what}] enabled = true in config.toml")
        self.what = what


class ExtractionFailed(GatewayError):
    """A file of a known kind could not be read: it is broken, encrypted, or more than the bounds allow."""


class Draining(Unavailable):
    """The daemon is stopping and takes nothing new."""


class AgentError(GatewayError):
    """The agent behind the gateway failed.

    Attributes:
        code: one of "auth", "rate_limited", "overloaded", "timeout", "bad_request", "content", "unavailable", "protocol".
        retryable: whether the same prompt may succeed later.
        retry_after_seconds: what the vendor asked for, or None.
    """

    code = "unavailable"
    retryable = True

    def __init__(self, message: str = "", *, retry_after_seconds: float | None = None, detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.retry_after_seconds = retry_after_seconds


class AgentAuth(AgentError):
    """The vendor refuses the key."""

    code, retryable = "auth", False


class AgentRateLimited(AgentError):
    """The vendor asks to slow down."""

    code, retryable = "rate_limited", True


class AgentOverloaded(AgentError):
    """The vendor is over capacity or answers 5xx."""

    code, retryable = "overloaded", True


class AgentTimeout(AgentError):
    """No byte for too long, or the turn's deadline passed."""

    code, retryable = "timeout", True


class AgentBadRequest(AgentError):
    """The vendor will never accept this prompt (unknown model, too long, bad parameter)."""

    code, retryable = "bad_request", False


class AgentContent(AgentError):
    """The vendor refuses the content."""

    code, retryable = "content", False


class AgentUnavailable(AgentError):
    """The vendor or program cannot be reached."""

    code, retryable = "unavailable", True


class AgentProtocol(AgentError):
    """The vendor or program answered something that is not its protocol, or more than the cap."""

    code, retryable = "protocol", True


class ToolUncertain(GatewayError):
    """A tool call left and no result came: it may or may not have had its effect."""


class SendError(GatewayError):
    """A reply could not be delivered."""


class SendRefused(SendError):
    """The platform will never take this message."""


class SendUnavailable(SendError):
    """Nothing was delivered for certain (no connection, 429, a 5xx that says so); may be sent again.

    Attributes:
        retry_after_seconds: what the platform asked for, or None.
    """

    def __init__(self, message: str = "", *, retry_after_seconds: float | None = None, detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.retry_after_seconds = retry_after_seconds


class SendUncertain(SendError):
    """The bytes left and no answer came: it may or may not have been delivered."""
