"""What probes find, each run by itself so that one that fails spoils no other.

Nothing here needs an installed package: a broken environment is one of the findings.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from ..core.errors import UserError

State = Literal["ok", "note", "to do"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        state: ``ok``; ``note`` for what stops no run; ``to do`` for what stops one.
        what: what was found, in a sentence; holds no key.
        fix: the one command that fixes it, or what to do where no command does.
    """

    state: State
    what: str
    fix: str | None = None


Probe = Callable[[], Iterable[Finding]]


class NotExaminedError(Exception):
    """A probe cannot look, because of something that another one reports; says which."""


def examine(probe: Probe) -> list[Finding]:
    """Return what a probe finds; an error of it is a finding, too."""
    try:
        return list(probe())
    except NotExaminedError as error:
        return [Finding("note", f"not examined: {error}")]
    except UserError as error:
        return [Finding("to do", line) for line in str(error).splitlines()]
    except ImportError as error:
        what = f"not examined: the package {error.name or error} is missing or broken"
        return [Finding("to do", what, project_verb("bootstrap"))]
    except Exception as error:  # a defect of one probe must not hide what the others find
        return [Finding("to do", f"not examined ({type(error).__name__}: {error})")]


def project_verb(name: str) -> str:
    """Return the command of a verb of the Makefile and of tasks.ps1 on this system."""
    return f".\\tasks.ps1 {name}" if os.name == "nt" else f"make {name}"
