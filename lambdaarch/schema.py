# SPDX-License-Identifier: Apache-2.0
"""Fields and their types: the schema of a log as a dict of texts.

======================  ======================================================
text                    values
======================  ======================================================
``"i64" "u64" "i32"``   integers
``"f64" "f32"``         floats; NaN is a value, null is not
``"bool"``              True and False
``"time[us]"``          UTC times, microseconds since 1970
``"date"``              days
``"decimal(2)"``        exact numbers with 2 decimals, up to 18 digits in all
``"cat"``               text with few distinct values (up to 16 million)
``"str"``               text
``"bytes"``             bytes
======================  ======================================================

A trailing ``?`` allows nulls: ``"f64?"``, or ``la.nullable("f64")``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import FieldTypeError, InvalidError

__all__ = ["Field", "Schema", "check_name", "nullable", "whole"]

NAMES = (
    "i64",
    "u64",
    "i32",
    "f64",
    "f32",
    "bool",
    "time[us]",
    "date",
    "cat",
    "str",
    "bytes",
)
ALIASES = {"time": "time[us]"}
DECIMAL = re.compile(r"decimal\((\d{1,2})\)")


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a log: `name`, `type` (text without ``?``) and `nullable`."""

    name: str
    type: str
    nullable: bool = False

    @property
    def text(self) -> str:
        """The type with ``?`` where nulls are allowed."""
        return self.type + ("?" if self.nullable else "")

    @property
    def scale(self) -> int:
        """Decimals of a decimal, else 0."""
        return scale_of(self.type)


def scale_of(type_text: str) -> int:
    """2 for ``"decimal(2)"``, 0 for other types."""
    found = DECIMAL.fullmatch(type_text)
    return int(found.group(1)) if found else 0


def nullable(type_text: str) -> str:
    """The type, nulls allowed.

    Examples
    --------
    >>> nullable("f64")
    'f64?'
    """
    return type_text if type_text.endswith("?") else type_text + "?"


def parse_type(text: object, *, place: str = "a type") -> tuple[str, bool]:
    """A type's text without ``?``, and whether it had one.

    Raises
    ------
    InvalidError
        No such type; the note lists those there are.
    """
    if not isinstance(text, str):
        msg = f"{place}: expected a type's text, got {text!r}"
        raise FieldTypeError(msg)
    bare = text.strip()
    is_nullable = bare.endswith("?")
    bare = bare.removesuffix("?").strip()
    bare = ALIASES.get(bare, bare)
    found = DECIMAL.fullmatch(bare)
    if bare not in NAMES and not (found and int(found.group(1)) <= 18):
        error = InvalidError(f"{place}: there is no type {text!r}")
        error.add_note(f"types: {', '.join(NAMES)}, decimal(0) to decimal(18)")
        raise error
    return bare, is_nullable


def check_name(what: str, name: Any) -> str:
    """A name of a store's thing, as far as the core needs it to be one.

    Raises
    ------
    FieldTypeError, InvalidError
        It is no text, or holds NUL or half a character.
    """
    if not isinstance(name, str):
        msg = f"the name of a {what} is text, not {name!r}"
        raise FieldTypeError(msg)
    if "\0" in name or any("\ud800" <= letter <= "\udfff" for letter in name):
        msg = f"the name of a {what} holds NUL or half a character: {name!r}"
        raise InvalidError(msg)
    return name


def whole(name: str, value: Any, most: int | None = None) -> int:
    """A number from 0 to `most`.

    Raises
    ------
    InvalidError
        It is another number, or none.
    """
    if (
        not hasattr(value, "__index__")
        or isinstance(value, bool)
        or int(value) < 0
        or (most is not None and int(value) > most)
    ):
        to = "" if most is None else f" to {most:,}"
        msg = f"{name} is a number from 0{to}, not {value!r}"
        raise InvalidError(msg)
    return int(value)


class Schema(Mapping[str, Field]):
    """The fields of a log, in order. A mapping from name to `Field`.

    Parameters
    ----------
    fields : mapping of str to str, or iterable of Field or of pairs
        As in ``{"id": "u64", "amount": "decimal(2)", "note": "str?"}``.

    Examples
    --------
    >>> Schema({"id": "u64", "note": "str?"})
    Schema({'id': 'u64', 'note': 'str?'})
    """

    __slots__ = ("_fields",)

    def __init__(
        self, fields: Mapping[str, str] | Iterable[Field | tuple[str, str]] | Schema
    ) -> None:
        found: list[Field]
        if isinstance(fields, Schema):
            found = list(fields.values())
        elif isinstance(fields, Mapping):
            found = [_field(pair) for pair in fields.items()]
        elif isinstance(fields, Iterable) and not isinstance(fields, (str, bytes)):
            found = [_field(item) for item in fields]
        else:
            raise _no_schema(fields)
        if not found:
            msg = "a schema has at least one field"
            raise InvalidError(msg)
        self._fields: dict[str, Field] = {}
        for field in found:
            if field.name in self._fields:
                msg = (
                    f'a schema names each field once, and "{field.name}" is there twice'
                )
                raise InvalidError(msg)
            self._fields[field.name] = field

    def __getitem__(self, name: str) -> Field:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Schema({ {f.name: f.text for f in self.values()} })"

    @property
    def types(self) -> dict[str, str]:
        """Name to type, without ``?``."""
        return {field.name: field.type for field in self.values()}

    def to_spec(self) -> list[dict[str, Any]]:
        """As it stands in a log's spec."""
        return [{"name": f.name, "type": f.text} for f in self.values()]


def _field(item: Any) -> Field:
    """A field of a `Field`, or of a pair of name and type."""
    if isinstance(item, Field):
        return item
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise _no_schema(item)
    name, text = item
    if (
        not isinstance(name, str)
        or not 1 <= len(name.encode("utf-8", "replace")) <= 128
    ):
        msg = f"a field's name is a text of 1 to 128 bytes, not {name!r}"
        raise InvalidError(msg)
    bare, is_nullable = parse_type(text, place=f'field "{check_name("field", name)}"')
    return Field(name, bare, is_nullable)


def _no_schema(what: Any) -> FieldTypeError:
    error = FieldTypeError(f"a schema is a dict of field to type, not {what!r}")
    error.add_note('as in {"id": "u64", "amount": "decimal(2)", "note": "str?"}')
    return error
