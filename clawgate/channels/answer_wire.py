"""What a platform's HTTP answer means for the part that was sent. Ring: channels (wire). Source: design §1 (sends), RFC 9110 §10.2.3 (Retry-After).

answer                        | meaning
------------------------------+----------------------------------------------------------------------
2xx                           | taken
408, 425, 429                 | not taken, may be sent again (Retry-After is kept)
503 with Retry-After          | the same: the platform says so itself
other 5xx                     | perhaps taken: uncertain, since a gateway answers like this after its back end acted, too
anything else, redirects too  | refused for good

Only a certain "not taken" is sent again by itself; a person decides on what is uncertain.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from clawgate.domain.errors import SendError, SendRefused, SendUnavailable, SendUncertain
from clawgate.domain.redaction import Redactor

MAX_RETRY_AFTER_SECONDS = 3600.0
_DETAIL_CHARS = 240
_NOT_TAKEN = frozenset({408, 425, 429})
_LOOKS_SECRET = re.compile(r"[A-Za-z0-9_\-]{24,}")


class Answer(msgspec.Struct, frozen=True):
    """A platform's answer.

    Attributes:
        retry_after_seconds: None when the platform named none.
        body: its beginning, at most 64 KiB; empty when it could not be read.
    """

    status: int
    retry_after_seconds: float | None = None
    body: bytes = b""

    @property
    def is_taken(self) -> bool:
        """Whether the platform accepted the request."""
        return 200 <= self.status < 300


def problem(title: str, answer: Answer, redact: Redactor, *, is_transient: Callable[[bytes], bool]) -> SendError | None:
    """The error an answer stands for, None when the part was taken.

    Args:
        title: the channel's name as users know it.
        redact: knows the channel's secrets; Meta quotes a bad access token in its answer.
        is_transient: whether a 4xx body says "try later" in the platform's own words.
    """
    if answer.is_taken:
        return None
    text = f"{title} API error: {answer.status}"
    detail = redact.untrusted(_LOOKS_SECRET.sub("***", redact.text(answer.body[:2000].decode("utf-8", "replace"))), _DETAIL_CHARS)
    wait = answer.retry_after_seconds
    if answer.status in _NOT_TAKEN or (answer.status == 503 and wait is not None):
        return SendUnavailable(text, retry_after_seconds=wait, detail=detail)
    if answer.status >= 500:
        return SendUncertain(text, detail=detail)
    if 400 <= answer.status < 500 and is_transient(answer.body):
        return SendUnavailable(text, retry_after_seconds=wait, detail=detail)
    return SendRefused(text, detail=detail)
