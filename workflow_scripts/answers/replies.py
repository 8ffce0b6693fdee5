"""Replies as they came, packed so that they cost few bytes beside the answers read from them.

A reply is deflated (RFC 1950) with a preset dictionary: a sample reply, which its file holds once,
and the line's own answer. What the reply has in common with either costs next to nothing, and a
reply cannot be unpacked beside another answer than its own.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

from ..core.errors import UserError

_SMALLEST = 10
"""Of zlib's windows, in bits: it has never been right with smaller ones."""

_MEMORY = 4
"""zlib's ``memLevel``: as small results as with the usual 8, in half the time."""


def pack(reply: str, sample: str, digest: str, completion: Mapping[str, Any]) -> str:
    """Return a reply as text for a line of the journal.

    Args:
        reply: the reply as it came.
        sample: another reply of its kind; may be empty.
        digest: of its request.
        completion: the answer read from it, as its line has it.
    """
    content, like = _bytes(reply), _dictionary(sample, digest, completion)
    # zlib clears all memory that it may need: for small replies that is most of the time.
    window = min(max((len(content) + len(like)).bit_length(), _SMALLEST), zlib.MAX_WBITS)
    stream = zlib.compressobj(9, wbits=window, memLevel=_MEMORY, zdict=like)
    packed = stream.compress(content) + stream.flush()
    return base64.b85encode(packed).decode("ascii")


def unpack(packed: str, sample: str, digest: str, completion: Mapping[str, Any]) -> str:
    """Return what `pack` was given.

    Raises:
        UserError: the text was changed, or belongs to another line.
    """
    stream = zlib.decompressobj(zdict=_dictionary(sample, digest, completion))
    try:
        content = stream.decompress(base64.b85decode(packed))
        if stream.eof and not stream.unused_data:
            return content.decode("utf-8", "surrogatepass")
        problem = "it has no end"
    except (ValueError, zlib.error) as error:
        problem = str(error)
    raise UserError(f"the reply to {digest[:12]} cannot be unpacked ({problem})")


def pack_sample(reply: str) -> str:
    """Return a sample as text for its line of the journal."""
    return pack(reply, "", "", {})


def unpack_sample(packed: str) -> str:
    """Return what `pack_sample` was given.

    Raises:
        UserError: the text was changed.
    """
    return unpack(packed, "", "", {})


def _dictionary(sample: str, digest: str, completion: Mapping[str, Any]) -> bytes:
    """Return the preset dictionary; of a longer one, deflate uses the last 32 kB."""
    own = json.dumps(completion, ensure_ascii=False, separators=(",", ":"))
    return _bytes(f"{sample}{digest}{own}")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
