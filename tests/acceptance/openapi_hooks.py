"""What schemathesis is told besides the document: half of all ids name something that is there. Loaded by schemathesis (SCHEMATHESIS_HOOKS)."""

from __future__ import annotations

import json
import os
from typing import Any

import schemathesis

KNOWN: dict[str, str] = json.loads(os.environ.get("CLAWGATE_FUZZ_KNOWN", "{}"))


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:  # Any: schemathesis' own types
    """Every second id is one that exists; which, goes by the id that was made up, so that a run can be repeated."""
    if not path_parameters:
        return path_parameters
    return {name: KNOWN[name] if name in KNOWN and len(str(value)) % 2 else value for name, value in path_parameters.items()}
