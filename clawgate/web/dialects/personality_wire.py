"""JSON of `/api/v1/personality`. Ring: edge, under the domain rule. Source: rantaiclaw.md §10 (Personality)."""

from __future__ import annotations

from clawgate.domain.personality import Personality


def shown(profile: str, personality: Personality | None) -> dict[str, object]:
    """The answer to GET."""
    if personality is None:
        return {"profile": profile, "preset": None, "configured": False}
    return {"profile": profile, "timezone": personality.timezone} | written(personality)


def written(personality: Personality) -> dict[str, object]:
    """The answer to PUT: neither profile nor timezone."""
    return {
        "preset": personality.preset,
        "name": personality.name,
        "role": personality.role,
        "tone": personality.tone,
        "avoid": personality.avoid,
        "always_on_kbs": personality.always_on_kbs,
    }
