"""Which function reads which layer type."""

from __future__ import annotations

import sys
import traceback
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import TYPE_CHECKING

from demitasse.errors import DemitasseError

if TYPE_CHECKING:
    from demitasse.converter.caffe.lower import Context

Reader = Callable[["Context"], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """A reader; `weighted` says that every layer of its type has blobs."""

    read: Reader
    weighted: bool


_BUILT_IN: dict[str, Entry] = {}
_targets: list[dict[str, Entry]] = [_BUILT_IN]


def caffe_layer(*types: str, weighted: bool = False) -> Callable[[Reader], Reader]:
    """Register the decorated function as the reader of these layer types.

    In a plug-in it holds for the net that is being loaded, and goes before the built-in readers.
    `weighted` types have blobs whatever their parameters say.
    """

    def register(reader: Reader) -> Reader:
        _targets[-1].update(dict.fromkeys(types, Entry(reader, weighted)))
        return reader

    return register


def readers(plugins: Iterable[Path]) -> Mapping[str, Entry]:
    """The built-in readers and those of the plug-in files, later ones first.

    Raises DemitasseError naming the plug-in (and its line) that cannot be loaded.
    """
    package = import_module("demitasse.converter.caffe.layers")
    for module in iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")
    found = dict(_BUILT_IN)
    for path in plugins:
        found.update(_load(path))
    return found


def _load(path: Path) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    _targets.append(found)
    try:
        _run(path)
    except OSError as error:
        raise DemitasseError(f"cannot read the plug-in: {error.strerror}", file=path) from None
    except Exception as error:
        frames = traceback.extract_tb(sys.exc_info()[2])
        lines = [frame.lineno for frame in frames if frame.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else (lines[-1] if lines else None)
        raise DemitasseError(
            f"the plug-in fails: {type(error).__name__}: {error}", file=path, line=line
        ) from error
    finally:
        _targets.pop()
    if not found:
        raise DemitasseError(
            "the plug-in registers no layer",
            file=path,
            remedy="decorate a reader with @caffe_layer",
        )
    return found


def _run(path: Path) -> None:
    """Run the file as a module of its own, which its classes can be found in when they are sent to
    another process."""
    code = compile(path.read_bytes(), str(path), "exec")
    module = ModuleType(f"demitasse_plugin_{zlib.crc32(str(path.resolve()).encode()):08x}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    exec(code, module.__dict__)
