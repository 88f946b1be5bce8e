"""`python -m clawgate`: the same as `clawgate`. Ring: entry."""

from __future__ import annotations

from clawgate.cli import main

if __name__ == "__main__":
    main()
