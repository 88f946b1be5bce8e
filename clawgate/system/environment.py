"""Which of the daemon's variables its agents' child processes see. Ring: system (edge). Source: design §5; openclaw#70029 (secrets in children).

An allowlist: keys of vendors, tokens and everything else of the daemon's stay with it. What a program needs beyond this is given to it as
`CLAWGATE_CHILD_<NAME>`, which it sees as `<NAME>`.
"""

from __future__ import annotations

from collections.abc import Mapping

GIVEN = "CLAWGATE_CHILD_"
_NAMES = frozenset({"PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "NO_PROXY", "no_proxy"})
_PREFIXES = ("LC_", "XDG_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_", "GGML_", "LLAMA_", "OMP_", "VK_")


def for_agents(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables for a child that answers."""
    inherited = {name: value for name, value in environ.items() if name in _NAMES or name.startswith(_PREFIXES)}
    return inherited | {name.removeprefix(GIVEN): value for name, value in environ.items() if name.startswith(GIVEN) and name != GIVEN}
