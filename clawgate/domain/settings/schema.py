"""The shape of the settings, read off `model.py` once. Ring: domain. Source: design §4.13, style.md (Settings).

`parse.py`, `environment.py`, `findings.py` and `reference.py` all walk this tree, so that a key added to the model is parsed, overridable from the
environment and documented without being named a second time. A field with a `Note` is a key; a field of a `Section` type is a table; every other
field (`unknown`, `warnings`, …) is derived and cannot be written in a file.
"""

from __future__ import annotations

import enum
import functools
import types
import typing

import msgspec

from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import Note, Section, Settings


class Kind(enum.Enum):
    """What a key holds; the value is how messages and the reference page call it."""

    FLAG = "true or false"
    COUNT = "a whole number"
    NUMBER = "a number"
    TEXT = "text"
    SECRET = "a secret"  # a kind's name, not a secret
    TEXTS = "a list of texts"
    SECRETS = "a table of secrets"
    SECRET_LIST = "a list of secrets"
    TEXT_TABLE = "a table of texts"


_KINDS = {
    bool: Kind.FLAG,
    int: Kind.COUNT,
    float: Kind.NUMBER,
    str: Kind.TEXT,
    Secret: Kind.SECRET,
    tuple[str, ...]: Kind.TEXTS,
    dict[str, Secret]: Kind.SECRETS,
    tuple[Secret, ...]: Kind.SECRET_LIST,
    dict[str, str]: Kind.TEXT_TABLE,
}


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One key of config.toml.

    Attributes:
        path: dotted, as in `gateway.tls.enabled`.
        required: whether its table cannot do without it.
        default: the value when absent; None for a required key.
    """

    path: str
    kind: Kind
    required: bool
    default: object
    note: Note

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One table of config.toml.

    Attributes:
        optional: its absence is a value of its own (a channel that is not configured).
        tables: those below it by one name each.
        families: those below it by any name, each described by one table whose path ends in `*`: `mcp_servers.*`.
    """

    path: str
    type: type[Section]
    optional: bool
    keys: tuple[Key, ...]
    tables: tuple[Table, ...]
    families: tuple[Table, ...] = ()

    @property
    def name(self) -> str:
        """The last part of the path, of a family the last one that is a name; "" for the whole document."""
        return self.path.removesuffix(".*").rpartition(".")[2]

    @property
    def names(self) -> tuple[str, ...]:
        """What may stand in it: keys, then tables, then families."""
        return (*(key.name for key in self.keys), *(table.name for table in (*self.tables, *self.families)))


@functools.cache
def tree() -> Table:
    """The whole document."""
    return _table(Settings, "", optional=False)


@functools.cache
def tables() -> tuple[Table, ...]:
    """Every table, parents first, the document itself at the head."""
    return tuple(_below(tree()))


@functools.cache
def keys() -> typing.Mapping[str, Key]:
    """Every key with a path of its own by that path, in the model's order; not those in families."""
    return types.MappingProxyType({key.path: key for table in tables() if not is_family(table.path) for key in table.keys})


def is_family(path: str) -> bool:
    """Whether a path stands for any number of names."""
    return "*" in path


def join(parent: str, name: str) -> str:
    """The dotted path of a name in a table."""
    return f"{parent}.{name}" if parent else name


def _below(table: Table) -> typing.Iterator[Table]:
    yield table
    for child in (*table.tables, *table.families):
        yield from _below(child)


def _table(type_: type[Section], path: str, *, optional: bool) -> Table:
    keys_: list[Key] = []
    tables_: list[Table] = []
    families: list[Table] = []
    for field in msgspec.structs.fields(type_):
        inner, has_none = _without_none(field.type)
        if isinstance(inner, type) and issubclass(inner, Section):
            tables_.append(_table(inner, join(path, field.name), optional=has_none))
        elif (member := _member(inner)) is not None:
            families.append(_table(member, join(join(path, field.name), "*"), optional=False))
        elif (note := _note(field.type)) is not None:
            keys_.append(_key(field, join(path, field.name), note))
    return Table(path=path, type=type_, optional=optional, keys=tuple(keys_), tables=tuple(tables_), families=tuple(families))


def _key(field: msgspec.structs.FieldInfo, path: str, note: Note) -> Key:
    inner, _ = _without_none(typing.get_args(field.type)[0])
    default = None if field.required or field.default is msgspec.NODEFAULT else field.default
    return Key(path=path, kind=_KINDS[inner], required=field.required, default=default, note=note)


def _member(annotation: object) -> type[Section] | None:
    """What a table of tables by any name holds."""
    arguments = typing.get_args(annotation)
    is_table_of_tables = typing.get_origin(annotation) is dict and isinstance(arguments[1], type) and issubclass(arguments[1], Section)
    return arguments[1] if is_table_of_tables else None


def _note(annotation: object) -> Note | None:
    if typing.get_origin(annotation) is not typing.Annotated:
        return None
    return next((extra for extra in typing.get_args(annotation)[1:] if isinstance(extra, Note)), None)


def _without_none(annotation: typing.Any) -> tuple[typing.Any, bool]:  # Any: annotations have no common type
    if isinstance(annotation, types.UnionType):
        inner = [part for part in typing.get_args(annotation) if part is not types.NoneType]
        return inner[0], True
    return annotation, False
