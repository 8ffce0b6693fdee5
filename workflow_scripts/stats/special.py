"""The special functions of scipy, loaded without the parts of numpy that nobody uses.

`scipy.special` copies all names of numpy, and so loads packages that numpy loads on first use, such
as its wrapper of Fortran and its tools for tests. They take half of the time. So they have
stand-ins meanwhile; the first use afterwards loads them as ever.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import numpy as np

_UNUSED = ("ctypeslib", "f2py", "ma", "polynomial", "random", "testing")


def __getattr__(name: str) -> Any:
    """Return a function of `scipy.special`, which is loaded for the first one."""
    return getattr(_loaded(), name)


@functools.cache
def _loaded() -> ModuleType:
    numpy = vars(np)
    missing = [name for name in _UNUSED if name not in numpy]
    numpy.update(dict.fromkeys(missing))
    try:
        import scipy.special
    finally:
        for name in missing:
            if numpy[name] is None:
                del numpy[name]
    return scipy.special
