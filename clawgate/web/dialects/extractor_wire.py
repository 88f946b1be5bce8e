"""What upstream's extractors say of a query string or a body that they cannot use. Ring: edge, under the domain rule. Source: rantaiclaw.md §1."""

from __future__ import annotations

from clawgate.domain.errors import BadRequest, WrongShape

NO_JSON = "Failed to parse the request body as JSON"


def bad_query(problem: str) -> BadRequest:
    """400: the query string."""
    return BadRequest(f"Failed to deserialize query string: {problem}")


def wrong_shape(problem: object) -> WrongShape:
    """422: JSON of another shape."""
    return WrongShape(f"Failed to deserialize the JSON body into the target type: {problem}")
