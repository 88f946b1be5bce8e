"""A marketplace, a switch and a scratch directory for skills. Ring: testing; implements `ports.skills.Marketplace` and `ports.config.SkillSwitch`.

The skills themselves are the real ones, `system.skillfiles`, on a directory that exists once something is written to it.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import uuid
import weakref
import zipfile
from collections.abc import Mapping
from pathlib import Path

from twisted.internet.defer import Deferred, fail, succeed

from clawgate.domain.skills import Candidate, Reference, SkillSourceFailed


class Scratch:
    """A directory that is gone with the last who holds this."""

    def __init__(self) -> None:
        self.path = Path(tempfile.gettempdir()) / f"clawgate-test-{uuid.uuid4().hex}"
        weakref.finalize(self, shutil.rmtree, str(self.path), True)


class RecordingSwitch:
    """A `SkillSwitch` that remembers; `problem` makes it fail."""

    def __init__(self) -> None:
        self.switched: dict[str, bool] = {}
        self.problem: Exception | None = None

    def set_enabled(self, name: str, enabled: bool) -> Deferred[None]:
        """Takes it, or fails."""
        if self.problem is not None:
            return fail(self.problem)
        self.switched[name] = enabled
        return succeed(None)


class Shelf:
    """A `Marketplace` with what a test puts on it."""

    def __init__(self) -> None:
        self.candidates: list[Candidate] = []
        self.archives: dict[str, bytes] = {}
        self.problem: Exception | None = None

    def offer(self, owner: str, slug: str, archive: bytes) -> None:
        """One more skill."""
        url = f"https://market.example/{owner}/{slug}.zip"
        self.archives[url] = archive
        self.candidates.append(Candidate(owner=owner, slug=slug, reference=str(Reference(owner, slug)), url=url, downloads=7, version="1.0"))

    def look_up(self, wanted: Reference) -> Deferred[tuple[Candidate, ...]]:
        """What was offered under that name."""
        if self.problem is not None:
            return fail(self.problem)
        return succeed(tuple(each for each in self.candidates if each.slug == wanted.slug and wanted.owner in ("", each.owner)))

    def download(self, chosen: Candidate) -> Deferred[bytes]:
        """What was offered there."""
        if chosen.url not in self.archives:
            return fail(SkillSourceFailed("the marketplace answered 404"))
        return succeed(self.archives[chosen.url])


def skill_text(name: str, body: str = "Do it well.", **fields: str) -> str:
    """A SKILL.md; `fields` are further lines of its front matter, as YAML."""
    lines = [f"name: {name}", *(f"{key}: {value}" for key, value in fields.items())]
    return "---\n" + "\n".join(lines) + f"\n---\n{body}\n"


def zipped(files: Mapping[str, str | bytes]) -> bytes:
    """A .zip of files by their names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()
