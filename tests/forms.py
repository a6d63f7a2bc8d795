"""
How the modules that can be compiled behave towards those who look into them: found out, not listed.

As a program this prints it as JSON, for the form that the environment chooses.
"""

from __future__ import annotations

import copy
import gc
import importlib
import json
import pickle
import pkgutil
import sys
import weakref
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import devp2p_tx.core
from devp2p_tx._sealed import Sealed
from tests.core.discv5.playing import ProtocolTestCase
from tests.core.rlpx.pairs import Talk

#: By module, class and name, what came of it: "ok", or the kind of the error.
Behaviors = dict[str, str]


def sealed_modules() -> list[ModuleType]:
    """Those that can be compiled: their last line seals them."""
    for each in pkgutil.walk_packages(devp2p_tx.core.__path__, "devp2p_tx.core."):
        importlib.import_module(each.name)
    modules = [module for name, module in sorted(sys.modules.items()) if name.startswith("devp2p_tx.core.")]
    return [module for module in modules if type(module) is not ModuleType]


def classes_of(module: ModuleType) -> list[type]:
    """The classes that a module defines."""
    return [each for each in vars(module).values() if isinstance(each, type) and each.__module__ == module.__name__]


def instances() -> dict[type, Any]:
    """An instance of each class: of what two connections and two nodes of discovery hold, in the midst of it."""
    talk = Talk().exchange_hellos()
    talk.receive(talk.writer.message(16, bytes(100))[:-20])
    playing = ProtocolTestCase()
    playing.setUp()
    playing.connect()
    found: dict[type, Any] = {}
    seen, waiting = set(), [talk, *playing.players]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, type | ModuleType):
            continue
        seen.add(id(each))
        if isinstance(each, Sealed):
            found.setdefault(type(each), each)
        waiting += gc.get_referents(each)
    return found


def outcome(attempt: Callable[[], object]) -> str:
    """What comes of something."""
    try:
        attempt()
    except Exception as error:
        return type(error).__name__
    return "ok"


def _of_module(module: ModuleType) -> Iterator[tuple[str, str]]:
    for name, value in list(vars(module).items()):
        if not name.startswith("__"):
            yield f"{module.__name__}.{name} set", outcome(lambda name=name, value=value: setattr(module, name, value))


def _of_class(cls: type) -> Iterator[tuple[str, str]]:
    yield "subclass", outcome(lambda: type("Sub", (cls,), {}))
    yield "subclass of a mixture", outcome(lambda: type("Sub", (dict, cls), {}))
    yield "new class attribute", outcome(lambda: setattr(cls, "another", 1))
    for name, value in _public(cls):
        yield f"class.{name} set", outcome(lambda name=name, value=value: setattr(cls, name, value))
        yield f"class.{name} deleted", outcome(lambda name=name: delattr(cls, name))


def _public(cls: type) -> list[tuple[str, object]]:
    """What a class has under names that its source has (a native one has some more in between)."""
    return [(name, value) for name, value in sorted(vars(cls).items()) if name[:2] != "__" and name != "_abc_impl"]


def _of_instance(each: Any) -> Iterator[tuple[str, str]]:
    yield "weakref", outcome(lambda: weakref.ref(each))
    yield "own attribute", outcome(lambda: setattr(each, "another", 1))
    yield "__dict__", outcome(lambda: each.__dict__["another"])
    for way in (copy.copy, copy.deepcopy, pickle.dumps):
        yield way.__name__, outcome(lambda way=way: way(each))
    for name, _ in _public(type(each)):
        known = getattr(each, name, print)  # an attribute may have no value yet
        yield f"{name} set", outcome(lambda name=name, known=known: setattr(each, name, known))
        yield f"{name} deleted", outcome(lambda name=name: delattr(each, name))


def behaviors() -> Behaviors:
    """All that is to be found out here, by what it is about."""
    found: Behaviors = {}
    of_each = instances()
    for module in sealed_modules():
        for cls in classes_of(module):
            if issubclass(cls, Sealed):
                for what, came in (*_of_class(cls), *_of_instance(of_each[cls])):
                    found[f"{module.__name__}.{cls.__name__}: {what}"] = came
        found.update(_of_module(module))
    return found


if __name__ == "__main__":
    print(json.dumps({"native": devp2p_tx.native, "behaviors": behaviors()}))
