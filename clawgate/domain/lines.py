"""Lines out of bytes that come in pieces. Ring: domain. For programs that speak a line at a time: MCP's stdio transport, agents that are commands."""

from __future__ import annotations

from clawgate.domain.errors import BadRequest


class LineSplitter:
    """Bytes in, whole lines out.

    Args:
        cap_bytes: longest line.
    """

    def __init__(self, cap_bytes: int) -> None:
        self._cap = cap_bytes
        self._partial: list[bytes] = []
        self._partial_bytes = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes, without their ends. Raises BadRequest over the cap; the splitter is of no use afterwards."""
        *lines, rest = chunk.split(b"\n")
        whole = []
        for line in lines:
            self._keep(line)
            whole.append(b"".join(self._partial).removesuffix(b"\r"))
            self._partial, self._partial_bytes = [], 0
        self._keep(rest)
        return whole

    def _keep(self, piece: bytes) -> None:
        self._partial_bytes += len(piece)
        if self._partial_bytes > self._cap:
            raise BadRequest(f"a line is longer than {self._cap} bytes")
        if piece:
            self._partial.append(piece)
