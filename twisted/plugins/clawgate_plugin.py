"""Makes `twistd clawgate` known to Twisted. There is no `__init__.py` beside this file, on purpose."""

from twisted.application.service import ServiceMaker

clawgate = ServiceMaker("clawgate", "clawgate.tap", "The front door of AI agents.", "clawgate")
