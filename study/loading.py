"""Reading a params file: YAML, what it starts from, and what is wrong with it in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from study.errors import InputError
from study.params import Params

BASE = "base"
"""The key that names the params file which another one starts from, relative to itself."""
# Mappings whose keys are the user's own: replaced, not merged.
WHOLE = {"tasks"}
RENAMED = {"views": "slicings"}  # since 0.1


def load_params(path: str | Path) -> Params:
    """The settings in a params file, merged with those that it starts from.

    Raises:
        InputError: names the file and each key that is wrong.
    """
    content = merged(path)
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {_explain(error)}") from None


def merged(path: str | Path) -> dict[str, Any]:
    """The content of a params file upon that of its ``base``, if it names one.

    Mappings are merged, lists and values replaced; ``null`` takes a section out.

    Raises:
        InputError: where a file cannot be read, or names a key that its base has not.
    """
    return _merged(Path(path), ())


def starts_from_another(path: str | Path) -> bool:
    """Whether a params file has a ``base``."""
    return BASE in _read(Path(path))


def _merged(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    content = _read(path)
    if BASE not in content:
        return content
    name = content.pop(BASE)
    if not isinstance(name, str) or not name:
        raise InputError(f"{path}: {BASE}: name a params file, relative to this one")
    base = path.parent / name
    if path.resolve() in above:
        raise InputError(f"{path}: {BASE}: {name} starts from this file itself")
    if not base.is_file():
        raise InputError(f"{path}: {BASE}: {base} does not exist")
    return _upon(_merged(base, (*above, path.resolve())), content, "", path, base)


def _upon(
    below: dict[str, Any], changes: dict[str, Any], prefix: str, path: Path, base: Path
) -> dict[str, Any]:
    """A mapping with changes to it."""
    result = dict(below)
    for key, value in changes.items():
        name = f"{prefix}{key}"
        if key not in below:
            raise InputError(f"{path}: {name}: {_unknown(key)}: {base} has none of the name")
        old = below[key]
        if value is None and isinstance(old, dict):
            del result[key]
        elif isinstance(value, dict) and isinstance(old, dict) and key not in WHOLE:
            result[key] = _upon(old, value, f"{name}.", path, base)
        else:
            result[key] = value
    return result


class _UniqueKeys(yaml.SafeLoader):
    """YAML 1.1 safe loading that refuses a key given twice."""


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict:
    loader.flatten_mapping(node)
    result: dict = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node)
        line = key_node.start_mark.line + 1
        if not isinstance(key, str):
            raise InputError(f"line {line}: a key must be a word")
        if key in result:
            raise InputError(f"line {line}: the key {key!r} is given twice")
        result[key] = loader.construct_object(value_node, deep=True)
    return result


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _read(path: Path) -> dict[str, Any]:
    """The content of one file."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: give a params file with --params") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file") from None
    try:
        content = _UniqueKeys(text).get_single_data()
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} does not hold a params file's sections")
    return content


def _unknown(key: str) -> str:
    """What is wrong with a key that there is not."""
    return f"is called {RENAMED[key]} now" if key in RENAMED else "unknown key (misspelt?)"


def _explain(error: ValidationError) -> str:
    """What a schema found wrong: each key and the reason."""
    parts = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"]) or "the file"
        if item["type"] == "extra_forbidden":
            text = _unknown(str(item["loc"][-1]))
        elif item["type"] == "missing":
            text = "missing"
        else:
            text = item["msg"].removeprefix("Value error, ")
            if isinstance(item["input"], str) and item["type"] == "float_type":
                text += ", with a point where there is an exponent, as in 1.0e-4"
            if not isinstance(item["input"], (dict, BaseModel)):
                text += f" (given {item['input']!r})"
        parts.append(f"{key}: {text}")
    return "; ".join(parts)
