"""Where skills are kept and where they come from. Ring: ports."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred

from clawgate.domain.skills import Candidate, Manifest, Origin, Reference, Skill


class SkillFiles(Protocol):
    """Directories of skills on disk. Nothing here blocks the caller."""

    def scan(self) -> Deferred[tuple[Skill, ...]]:
        """Every skill there is, by slug; what is no skill, or is over a bound, is left out. `enabled` is not decided here."""

    def manifest(self, content: str) -> Deferred[Manifest]:
        """What the front matter of a SKILL.md says.

        Raises (errback):
            BadRequest: there is none, it is no YAML, or it has no name.
        """

    def create(self, slug: str, content: str, origin: Origin) -> Deferred[None]:
        """A new directory with one SKILL.md, whole or not at all.

        Raises (errback):
            Conflict: something of that name exists. OSError: it cannot be written.
        """

    def write(self, slug: str, content: str) -> Deferred[None]:
        """Replaces the SKILL.md of a skill, whole or not at all.

        Raises (errback):
            NotFound: there is none. Forbidden: it leads out of the skills' directory. OSError: it cannot be written.
        """

    def remove(self, slug: str) -> Deferred[None]:
        """Removes a skill's directory; of a symbolic link the link, not what it leads to.

        Raises (errback):
            NotFound: there is none. OSError: it cannot be removed.
        """

    def install_archive(self, content: bytes, slug: str, origin: Origin, most_bytes: int) -> Deferred[Manifest]:
        """Unpacks a .zip or .tar.gz into a new directory, whole or not at all.

        Args:
            most_bytes: unpacked, all files together.

        Raises (errback):
            BadRequest: it is no such archive, holds what no skill may hold, or no SKILL.md. TooLarge: over a bound.
            Conflict: the directory exists. OSError: it cannot be written.
        """

    def install_path(self, path: str, most_bytes: int) -> Deferred[Skill]:
        """Copies a directory, or unpacks an archive, of this machine; the slug is made of the skill's name.

        Raises (errback):
            NotFound: nothing is there. BadRequest, TooLarge, Conflict, OSError: as `install_archive`.
        """


class Marketplace(Protocol):
    """Who offers skills."""

    def look_up(self, wanted: Reference) -> Deferred[tuple[Candidate, ...]]:
        """What is offered under a name; without an owner that may be several. Empty = nothing.

        Raises (errback):
            SkillSourceFailed: it cannot be asked, or did not answer what it should.
        """

    def download(self, chosen: Candidate) -> Deferred[bytes]:
        """The archive.

        Raises (errback):
            SkillSourceFailed: it did not come, is too large, or is another one than was promised.
        """
