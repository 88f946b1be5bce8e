"""clawgate: the front door of AI agents. Public names: `Gateway`, `Settings`, `__version__`."""

from __future__ import annotations

__version__ = "0.1.0"
