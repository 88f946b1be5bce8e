"""What every process that these tests start inherits."""

from __future__ import annotations

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
"""A shell starts what it runs in the background with SIGINT ignored, and so would be what is started here: Ctrl+C could not be tried."""
