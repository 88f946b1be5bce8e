"""What a marketplace answers. Ring: edge (system), under the domain rule. Source: docs/howto/skills.md (the protocol); rantaiclaw.md §10 (install).

GET {base}/skills/{slug}            everybody who offers it
GET {base}/skills/{owner}/{slug}    one publisher's
200 {"matches": [{"owner", "slug", "reference", "url", "downloads", "official", "version", "sha256"}]}   slug and url are required
404 nothing of that name
"""

from __future__ import annotations

from urllib.parse import quote, urljoin, urlsplit

import msgspec

from clawgate.domain.skills import Candidate, Reference, SkillSourceFailed

MOST_MATCHES = 50


class Matches(msgspec.Struct, frozen=True):
    """The body."""

    matches: tuple[Candidate, ...] = ()


def look_up_url(base: str, wanted: Reference) -> str:
    """Where a name is looked up."""
    names = [wanted.owner, wanted.slug] if wanted.owner else [wanted.slug]
    return "/".join([base.rstrip("/"), "skills", *(quote(name, safe="") for name in names)])


def decode_matches(body: bytes, wanted: Reference) -> tuple[Candidate, ...]:
    """The candidates that bear the name asked for, in the marketplace's order; each with a reference.

    Raises:
        SkillSourceFailed: the body is something else.
    """
    try:
        found = msgspec.json.decode(body, type=Matches).matches[:MOST_MATCHES]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise SkillSourceFailed("the marketplace answered something that is no list of matches", detail=str(problem)) from None
    return tuple(_named(each) for each in found if _is_wanted(each, wanted))


def archive_url(base: str, url: str) -> str:
    """The address of an archive, which may be relative to the marketplace's.

    Raises:
        SkillSourceFailed: it is on another server: the operator chose this one, and no other may be asked from here.
    """
    whole = ""
    try:
        whole = urljoin(base.rstrip("/") + "/", url)
        is_same = _server(whole) == _server(base)
    except ValueError:
        is_same = False
    if not is_same or not whole.isascii() or not whole.isprintable():
        raise SkillSourceFailed("the marketplace names an archive on another server")
    return whole


def _server(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _is_wanted(each: Candidate, wanted: Reference) -> bool:
    is_slug = each.slug.casefold() == wanted.slug.casefold()
    return is_slug and (not wanted.owner or each.owner.casefold() == wanted.owner.casefold())


def _named(each: Candidate) -> Candidate:
    return each if each.reference else msgspec.structs.replace(each, reference=str(Reference(each.owner, each.slug)))
