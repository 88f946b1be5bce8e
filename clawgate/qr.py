"""QR codes as text. Ring: assembly."""

from __future__ import annotations

import io

BLOCKS = "█▀▄"


def qr_text(data: str) -> str:
    """A QR of `data` in half blocks, two rows of modules a line, with its quiet zone; light is drawn, for dark terminals.

    Raises:
        ValueError: `data` is longer than a QR holds.
    """
    import segno  # late: most commands never draw one

    out = io.StringIO()
    segno.make(data, micro=False, error="m").terminal(out, compact=True, border=2)
    return out.getvalue().rstrip("\n")
