"""
What the modules that can be compiled (C{COMPILED} in setup.py) have in common, so that they do the same in both forms.

Native code calls native code without looking anything up. So a subclass of a native class, or a replaced method or
function, would go unnoticed in one form and work in the other: both forms refuse them, with one sentence. An instance
takes no attributes of others, can be referred to weakly, and is neither copied nor pickled.
"""

from __future__ import annotations

import sys
from abc import ABCMeta
from types import ModuleType
from typing import Any, NoReturn

from devp2p_tx._native import native


class _SealedClass(ABCMeta):
    """The metaclass of a class that is finished. It begins with ABCMeta, the only metaclass that mypyc takes."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **more: Any) -> NoReturn:
        sealed = next(base for base in bases if isinstance(base, cls))
        raise TypeError(f"{sealed.__qualname__} cannot be subclassed: wrap it instead")

    def __setattr__(cls, name: str, value: object) -> None:
        raise TypeError(f"{cls.__qualname__}.{name} cannot be set: native code would not see it")

    def __delattr__(cls, name: str) -> None:
        raise TypeError(f"{cls.__qualname__}.{name} cannot be deleted: native code would not see it")


class _SealedModule(ModuleType):
    """The class of a module that is finished: its constants can be set, its functions and classes cannot."""

    def __setattr__(self, name: str, value: object) -> None:
        self._refuse(name)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        self._refuse(name)
        super().__delattr__(name)

    def _refuse(self, name: str) -> None:
        found = self.__dict__.get(name)
        if hasattr(found, "__wrapped__"):  # which native code looks up
            return
        if callable(found) and isinstance(sys.modules.get(getattr(found, "__module__", "")), _SealedModule):
            raise TypeError(f"{self.__name__}.{name} cannot be replaced: native code would not see it")


class Sealed(metaclass=ABCMeta):  # noqa: B024 - for its metaclass, see above
    """The base of every class in a module that can be compiled, but for tuples, enumerations and errors."""

    # a native instance has this slot anyway, and a dictionary besides, so that the latter has to be locked
    __slots__ = () if native else ("__weakref__",)

    if native:

        def __setattr__(self, name: str, value: object) -> None:
            own = getattr(type(self), name, None)
            if own is None or callable(own):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__!r} object attribute {name!r} cannot be deleted")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"cannot copy or pickle {type(self).__name__!r} object")


def seal(name: str) -> None:
    """Finish a module and its classes; the last line of each module that can be compiled."""
    module = sys.modules[name]
    for each in vars(module).values():
        if isinstance(each, type) and each.__module__ == name and issubclass(each, Sealed):
            each.__class__ = _SealedClass  # type: ignore[assignment, method-assign]
    module.__class__ = _SealedModule
