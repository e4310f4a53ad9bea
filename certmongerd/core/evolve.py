"""Changed copies of values, and copies for other processes, quickly.

The request machine makes several for each step, and a request has more than
fifty fields. `dataclasses.replace` calls the constructor, which for a frozen
class sets them one by one through a guard; copying the slots takes a seventh
of that time. It matters for simulations over years, and for bursts.
"""

import copyreg
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from itertools import compress
from operator import attrgetter, is_not
from typing import TYPE_CHECKING, Any, Final, TypeVar

_V = TypeVar("_V")

if TYPE_CHECKING:
    # The type checker has rules of its own for this function, which are the right ones here.
    from dataclasses import replace
else:
    _T = TypeVar("_T")
    _set: Final = object.__setattr__

    def replace(value: _T, **changes: Any) -> _T:
        """A copy of *value*, an object of a slotted dataclass without __post_init__, with *changes* of fields."""
        cls = type(value)
        _, values = _fields_of(cls)
        copy = _put_together(cls, values(value))
        for name, changed in changes.items():
            _set(copy, name, changed)
        return copy


def differing(old: _V, new: _V) -> tuple[str, ...]:
    """Names of the fields of *old* and *new*, of one dataclass with several, that are not the same object."""
    cls: type = type(old)
    names, values = _fields_of(cls)
    before, after = values(old), values(new)
    return tuple(compress(names, map(is_not, before, after)))


@cache
def _fields_of(cls: type) -> tuple[tuple[str, ...], Callable[[object], tuple[object, ...]]]:
    """Names of the fields, and what gives their values: of a single one the value itself, as `_filler` takes it."""
    names = tuple(field.name for field in fields(cls))
    return names, attrgetter(*names)


def pickled_quickly(*classes: type) -> None:
    """From now on let values of *classes*, slotted dataclasses of several fields, be pickled without asking for fields.

    The standard way asks for them for each value, when it is taken apart and when it is put together.
    """
    for cls in classes:
        copyreg.pickle(cls, _taking_apart(cls))


def _taking_apart(cls: type) -> Callable[[Any], tuple[Any, ...]]:
    _, values = _fields_of(cls)
    return lambda value: (_put_together, (cls, values(value)))


def _put_together(cls: type, values: tuple[object, ...]) -> object:
    """An object of a slotted dataclass, without its constructor."""
    value: object = object.__new__(cls)
    _filler(cls)(value, values)
    return value


@cache
def _filler(cls: type) -> Callable[[object, tuple[object, ...]], None]:
    """A function that sets all slots of an object."""
    names, _ = _fields_of(cls)
    if hasattr(cls, "__post_init__") or not set(names) <= set(getattr(cls, "__slots__", ())):
        raise TypeError(f"{cls.__name__} is not a slotted dataclass without __post_init__")
    setters = {f"set_{name}": getattr(cls, name).__set__ for name in names}
    lines = (f"    set_{name}(value, {name})" for name in names)
    exec("\n".join(("def fill(value, values):", f"    {', '.join(names)} = values", *lines)), setters)
    filler: Callable[[object, tuple[object, ...]], None] = setters["fill"]
    return filler


__all__ = ["differing", "pickled_quickly", "replace"]
