"""A day of traffic, compressed: `make soak`. Real clients' habits against the real daemon, and whether its memory stays what it was after the first tenth."""
