"""Schemes that repeat a token with every delivery: Telegram, and GitLab in its older way. Ring: domain. Source: webhook-signatures.md §1.1.

Nothing is signed, so what names a delivery is its body.
"""

from __future__ import annotations

import re

import msgspec

from clawgate.domain.errors import NoSecret, Unauthenticated
from clawgate.domain.secret import Secret
from clawgate.domain.signing import primitives, standard
from clawgate.domain.signing.payload import members, text_id
from clawgate.domain.signing.scheme import TOLERANCE_SECONDS, Delivery, Options, Scheme, Verified

_TELEGRAM_HEADER = "x-telegram-bot-api-secret-token"
_TELEGRAM_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,256}", re.ASCII)
_GITLAB_HEADER = "x-gitlab-token"
_SIGNED = "webhook"
_GITLAB_SUMMARY = "Standard Webhooks (signing token, `whsec_…`), or the secret token in `X-Gitlab-Token`"


class GitlabKeys(msgspec.Struct, frozen=True):
    """Signing tokens, None without one, and secret tokens."""

    signing: standard.Keys | None
    tokens: tuple[Secret, ...]


def _telegram_tokens(secrets: tuple[Secret, ...], _: Options) -> tuple[Secret, ...]:
    if not all(_TELEGRAM_TOKEN.fullmatch(text) for text in primitives.given(secrets)):
        raise NoSecret("Telegram's token holds 1 to 256 letters, digits, _ and -")
    return secrets


def _prove_telegram(delivery: Delivery, tokens: tuple[Secret, ...], options: Options, now_seconds: float) -> Verified:
    primitives.require_token(tokens, delivery.headers.get(_TELEGRAM_HEADER))
    return Verified(primitives.digest(delivery.body), id=text_id(members(delivery.body).get("update_id")))


def _gitlab_keys(secrets: tuple[Secret, ...], _: Options) -> GitlabKeys:
    """A signing token is never compared with what a delivery presents as its secret token."""
    primitives.given(secrets)
    signing = tuple(secret for secret in secrets if secret and secret.reveal().startswith(standard.SYMMETRIC_PREFIX))
    tokens = tuple(secret for secret in secrets if secret and secret not in signing)
    return GitlabKeys(standard.keys_of(signing) if signing else None, tokens)


def _prove_gitlab(delivery: Delivery, keys: GitlabKeys, options: Options, now_seconds: float) -> Verified:
    """A signature that is there has to be right: a wrong one is no reason to look at the token."""
    if keys.signing and delivery.header(f"{_SIGNED}-signature"):
        return standard.check(delivery, keys.signing, _SIGNED, options.tolerance_seconds, now_seconds)
    if not keys.tokens:
        raise Unauthenticated("signature missing")
    primitives.require_token(keys.tokens, delivery.headers.get(_GITLAB_HEADER))
    return Verified(primitives.digest(delivery.body))


TELEGRAM = Scheme("telegram", "the token that was given to setWebhook, in a header", (_TELEGRAM_HEADER,), 0, _prove_telegram, _telegram_tokens)
GITLAB = Scheme(
    "gitlab",
    _GITLAB_SUMMARY,
    (*standard.STANDARD_WEBHOOKS.headers, _GITLAB_HEADER),
    TOLERANCE_SECONDS,
    _prove_gitlab,
    _gitlab_keys,
)
