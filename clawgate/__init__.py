"""clawgate: the front door of AI agents. Public names: `Gateway`, `Settings`, `__version__`.

`Gateway` is loaded when first asked for, so that reading the version or the settings does not load Twisted.
"""

from __future__ import annotations

from typing import Any

from clawgate.domain.settings import Settings

__all__ = ["Gateway", "Settings", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:  # a module attribute may be anything
    if name == "Gateway":
        from clawgate.gateway import Gateway

        return Gateway
    raise AttributeError(name)
