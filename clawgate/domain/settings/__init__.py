"""Settings as frozen values. Ring: domain."""

from clawgate.domain.settings.model import Settings

__all__ = ["Settings"]
