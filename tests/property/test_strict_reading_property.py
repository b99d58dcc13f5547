"""Every field of every configuration: a misspelt name and a value of another type are refused with the field's name."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medvlsam2.config import ModelConfig, to_dict
from medvlsam2.errors import InvalidConfig
from medvlsam2.evaluation.config import EvaluationConfig
from medvlsam2.strict_reading import read_strictly
from medvlsam2.training.config import TrainConfig

CONFIGS: dict[type, dict[str, Any]] = {
    ModelConfig: to_dict(ModelConfig(model_id="a-model")),
    TrainConfig: to_dict(TrainConfig()),
    EvaluationConfig: {**to_dict(EvaluationConfig()), "data": "scans"},
}
VALUES = (None, True, 3, 2.5, "256", [], ["1"], {"a": 1})
"""One value of each type that YAML has, and two that look like others."""

Field = tuple[type, tuple[str, ...], Any]


def all_fields(cls: type, of: type, path: tuple[str, ...] = ()) -> Iterator[Field]:
    """The configuration, path and type of each field, also of those that hold further fields."""
    hints = get_type_hints(of)
    for each in fields(of):
        hint = hints[each.name]
        yield cls, (*path, each.name), hint
        if is_dataclass(hint):
            yield from all_fields(cls, hint, (*path, each.name))


FIELDS = [field for cls in CONFIGS for field in all_fields(cls, cls)]


def with_part(cls: type, path: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A copy of the whole record, and the part of it that holds the last key of the path."""
    record = part = copy.deepcopy(CONFIGS[cls])
    for name in path[:-1]:
        part = part[name]
    return record, part


def fits(hint: Any, value: Any) -> bool:
    """Whether a value of the record is of a field's type, as a person would say."""
    if is_dataclass(hint):
        return False
    arguments, origin = get_args(hint), get_origin(hint)
    if origin is tuple:
        is_open = arguments[-1] is Ellipsis
        return is_open and isinstance(value, list) and all(fits(arguments[0], item) for item in value)
    if arguments and origin is not None and type(None) in arguments:  # … | None
        return value is None or any(fits(part, value) for part in arguments if part is not type(None))
    if arguments:  # a literal
        return value in arguments
    if hint is float:
        return type(value) in (int, float)
    if hint in (int, bool):
        return type(value) is hint
    return isinstance(value, str)


@pytest.mark.parametrize("cls", CONFIGS)
def test_a_right_record_is_read(cls: type) -> None:
    assert to_dict(read_strictly(cls, CONFIGS[cls], "'x'"))["data" if cls is EvaluationConfig else fields(cls)[0].name]


@given(st.data())
def test_a_misspelt_key_is_refused_with_itself_and_the_nearest(data: st.DataObject) -> None:
    cls, path, _ = data.draw(st.sampled_from(FIELDS))
    record, part = with_part(cls, path)
    name = path[-1]
    place = data.draw(st.integers(0, len(name) - 1))
    wrong = name[:place] + data.draw(st.sampled_from("QXZ")) + name[place + 1 :]
    part[wrong] = part.pop(name)
    with pytest.raises(InvalidConfig) as refused:
        read_strictly(cls, record, "'folder/config.yaml'")
    said = str(refused.value)
    assert f"There is no key '{'.'.join((*path[:-1], wrong))}'" in said
    assert name in said
    assert "'folder/config.yaml'" in said


@pytest.mark.parametrize(("cls", "path", "hint"), FIELDS, ids=[f"{of.__name__}-{'.'.join(at)}" for of, at, _ in FIELDS])
def test_a_value_of_another_type_is_refused_with_its_key(cls: type, path: tuple[str, ...], hint: Any) -> None:
    wrong = [value for value in VALUES if not fits(hint, value)]
    assert len(wrong) >= 5
    for value in wrong:
        record, part = with_part(cls, path)
        part[path[-1]] = value
        with pytest.raises(InvalidConfig) as refused:
            read_strictly(cls, record, "'folder/config.yaml'")
        said = str(refused.value)
        assert "'folder/config.yaml'" in said
        assert ".".join(path) in said
