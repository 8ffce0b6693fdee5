"""Formats of JSON Schema as patterns, for llguidance. What they match, `formats` accepts.

They are narrower where a pattern cannot count or would be long: no leap seconds, shorter labels of
host names, no quoted names in addresses.
"""

from __future__ import annotations

from collections.abc import Mapping

_LEAP = "(?:0[48]|[2468][048]|[13579][26])"
_DATE = (
    "(?:(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)-(?:"
    "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    f"|(?:[0-9]{{2}}{_LEAP}|{_LEAP}00)-02-29)"
)
_TIME = (
    r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?"
    "(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_DURATION_TIME = "T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)"
_DURATION_DATE = "(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)"
_DURATION = f"P(?:[0-9]+W|{_DURATION_DATE}(?:{_DURATION_TIME})?|{_DURATION_TIME})"
_LABEL = "(?:[A-Za-z0-9]-?){0,29}[A-Za-z0-9]"
_HOSTNAME = rf"{_LABEL}(?:\.{_LABEL}){{0,3}}"
_ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_EMAIL = rf"{_ATOM}{{1,32}}(?:\.{_ATOM}{{1,15}}){{0,2}}@{_HOSTNAME}"
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_GROUP = "[0-9a-fA-F]{1,4}"
_IPV6 = "|".join(
    [
        f"(?:{_GROUP}:){{7}}{_GROUP}",
        f"::(?:{_GROUP}(?::{_GROUP}){{0,6}})?",
        *(
            f"{_GROUP}(?::{_GROUP}){{{before - 1}}}::(?:{_GROUP}(?::{_GROUP}){{0,{6 - before}}})?"
            for before in range(1, 7)
        ),
        f"{_GROUP}(?::{_GROUP}){{6}}::",
    ]
)
_PERCENT = "%[0-9A-Fa-f]{2}"
_PCHAR = f"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|{_PERCENT})"
_NO_COLON = f"(?:[A-Za-z0-9._~!$&'()*+,;=@-]|{_PERCENT})"
_SEGMENTS = f"(?:/{_PCHAR}*)*"
_AUTHORITY = f"//(?:[A-Za-z0-9._~-]|{_PERCENT})*(?::[0-9]{{1,4}})?{_SEGMENTS}"
_ABSOLUTE = f"/(?:{_PCHAR}+{_SEGMENTS})?"
_REST = rf"(?:\?(?:{_PCHAR}|[/?])*)?(?:#(?:{_PCHAR}|[/?])*)?"
_URI = f"[A-Za-z][A-Za-z0-9+.-]*:(?:{_AUTHORITY}|{_ABSOLUTE}|{_PCHAR}+{_SEGMENTS}){_REST}"
_RELATIVE = f"(?:{_AUTHORITY}|{_ABSOLUTE}|{_NO_COLON}+{_SEGMENTS})?{_REST}"
_POINTER = "(?:/(?:[^~/]|~[01])*)*"

PATTERNS: Mapping[str, str] = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": _DURATION,
    "email": _EMAIL,
    "hostname": _HOSTNAME,
    "ipv4": rf"(?:{_BYTE}\.){{3}}{_BYTE}",
    "ipv6": _IPV6,
    "json-pointer": _POINTER,
    "relative-json-pointer": f"(?:0|[1-9][0-9]{{0,8}})(?:#|{_POINTER})",
    "uri": _URI,
    "uri-reference": f"(?:{_URI}|{_RELATIVE})",
    "uuid": "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
}
"""A pattern of Rust by format. The format ``regex`` has none."""
