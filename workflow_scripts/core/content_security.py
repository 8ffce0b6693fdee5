"""The content security policy of our pages: nothing fetched, no script but our own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable


def content_security_policy(styles: Iterable[str], scripts: Iterable[str]) -> str:
    """Return a policy that allows only these inlined style sheets and scripts, by their digests.

    Should text of a model ever reach the page as markup, it still could not run.
    """
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"style-src {' '.join(map(_digest, styles))}; "
        f"script-src {' '.join(map(_digest, scripts))}; "
        "img-src blob:"  # a figure that is saved as PNG is first loaded as an image
    )


def _digest(source: str) -> str:
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    return f"'sha256-{digest}'"
