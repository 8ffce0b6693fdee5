"""The Python steps of the Assay workflow."""

import os
import sys
from types import TracebackType

# Nothing here uses plugins of pydantic, and each command would look for them in all packages.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

_show = sys.excepthook


def _show_no_interrupt(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Show an uncaught error, but not Ctrl+C, which may come while modules are imported."""
    if not issubclass(kind, KeyboardInterrupt):
        _show(kind, error, trace)


sys.excepthook = _show_no_interrupt
