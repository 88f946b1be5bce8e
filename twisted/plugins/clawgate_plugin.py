"""Makes `twistd clawgate` known to Twisted. There is no `__init__.py` beside this file, on purpose."""

import gc

from twisted.application.service import ServiceMaker


class _Maker(ServiceMaker):
    """Loads clawgate with a lazy collector: what is imported stays, and looking through it again and again was a tenth of the start."""

    @property
    def options(self) -> object:
        gc.set_threshold(20_000, 50, 100)  # as it is later (clawgate.system.watchdog)
        return super().options


clawgate = _Maker("clawgate", "clawgate.tap", "The front door of AI agents.", "clawgate")
