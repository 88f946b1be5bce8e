"""The YAML at the head of a SKILL.md. Ring: system edge. Source: rantaiclaw.md §10 (Skills).

Every scalar is read as the text it is: `version: 1.0` is "1.0", `name: yes` is "yes". Aliases are refused: with them a few lines stand for gigabytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import yaml

from clawgate.domain.errors import BadRequest
from clawgate.domain.skills import NEEDS_NAME, Manifest, SkillTool, system_name

MOST_FRONT_MATTER_CHARS = 16 * 1024
_MOST_ENTRIES, _MOST_DEPTH = 64, 16
_NAME_CHARS, _TEXT_CHARS = 200, 1_000
_FENCED = re.compile(r"\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*$", re.DOTALL | re.MULTILINE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


class _Loader(yaml.BaseLoader):
    """Texts, lists and mappings; nothing else, nothing twice, and nothing deep: PyYAML's time grows with the square of the depth."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read")
        if self._depth >= _MOST_DEPTH:
            raise yaml.YAMLError("nested too deeply")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def manifest_of(content: str) -> Manifest:
    """What the front matter says; unknown keys and entries of other shapes are left out.

    Raises:
        BadRequest: there is none, it is no YAML, or it has no name.
    """
    found = _mapping(content)
    name = _text(found.get("name"), _NAME_CHARS)
    if not name:
        raise BadRequest(NEEDS_NAME)
    requires = found.get("requires")
    needs = requires if isinstance(requires, dict) else {}
    return Manifest(
        name=name,
        description=_text(found.get("description"), _TEXT_CHARS),
        version=_text(found.get("version"), _NAME_CHARS),
        tags=_texts(found.get("tags")),
        tools=_tools(found.get("tools")),
        systems=tuple(dict.fromkeys(system_name(name) for name in _texts(needs.get("os")))),
        binaries=_texts(needs.get("bins")),
        variables=_texts(needs.get("env")),
    )


def _mapping(content: str) -> dict[object, object]:
    match = _FENCED.match(content[: MOST_FRONT_MATTER_CHARS + 16])
    if match is None:
        raise BadRequest(NEEDS_NAME)
    try:
        found = _parsed(match[1])
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as problem:
        raise BadRequest("the frontmatter of SKILL.md is not YAML that can be read", detail=type(problem).__name__) from None
    if not isinstance(found, dict):
        raise BadRequest(NEEDS_NAME)
    return found


def _parsed(text: str) -> object:
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _text(value: object, most: int) -> str:
    """One line, at most `most` characters; "" for what is no text."""
    if not isinstance(value, str):
        return ""
    return _CONTROL.sub(" ", value).encode("utf-8", "replace").decode().strip()[:most]


def _texts(value: object) -> tuple[str, ...]:
    entries: Iterable[object] = value if isinstance(value, list) else [value]
    texts = (_text(entry, _NAME_CHARS) for entry in entries)
    return tuple(dict.fromkeys(text for text in texts if text))[:_MOST_ENTRIES]


def _tools(value: object) -> tuple[SkillTool, ...]:
    """Tools are names, or mappings with a name and perhaps a description."""
    entries = value if isinstance(value, list) else []
    tools = (_tool(entry) for entry in entries[:_MOST_ENTRIES])
    return tuple(tool for tool in tools if tool.name)


def _tool(entry: object) -> SkillTool:
    if isinstance(entry, dict):
        return SkillTool(_text(entry.get("name"), _NAME_CHARS), _text(entry.get("description"), _TEXT_CHARS))
    return SkillTool(_text(entry, _NAME_CHARS))
