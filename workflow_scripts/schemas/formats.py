"""The formats of JSON Schema that are checked; all others are remarks, as the standard has it."""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Callable

from jsonschema import FormatChecker

from .patterns import PatternError, compiled

_TIME = re.compile(
    r"(?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d):(?P<second>[0-5]\d|60)(?:\.\d+)?"
    r"(?:[Zz]|(?P<sign>[+-])(?P<ahead>[01]\d|2[0-3]):(?P<minutes>[0-5]\d))",
    re.ASCII,
)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DURATION = re.compile(
    r"P(?:\d+W|(?=.)(?:\d+Y(?:\d+M(?:\d+D)?)?|\d+M(?:\d+D)?|\d+D)?"
    r"(?:T(?=.)(?:\d+H(?:\d+M(?:\d+S)?)?|\d+M(?:\d+S)?|\d+S))?)",
    re.ASCII,
)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_EMAIL = re.compile(
    rf"(?=.{{1,64}}@)(?:{_ATOM}(?:\.{_ATOM})*|\"(?:[ !#-\[\]-~]|\\[ -~])*\")@"
    r"(?:(?P<host>[A-Za-z0-9.-]+)|\[(?P<address>[^\]]+)\])"
)
_POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)*")
_RELATIVE_POINTER = re.compile(r"(?:0|[1-9]\d*)(?:#|(?:/(?:[^~/]|~[01])*)*)", re.ASCII)
_PERCENT = r"%[0-9A-Fa-f]{2}"
_PCHAR = rf"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|{_PERCENT})"
_URI_REST = re.compile(
    rf"(?://(?:(?:[A-Za-z0-9._~!$&'()*+,;=:-]|{_PERCENT})*@)?"
    rf"(?:\[(?P<address>[^\]]*)\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|{_PERCENT})*)(?::\d*)?"
    rf"(?:/{_PCHAR}*)*|(?!//){_PCHAR}*(?:/{_PCHAR}*)*)"
    rf"(?:\?(?:{_PCHAR}|[/?])*)?(?:\#(?:{_PCHAR}|[/?])*)?",
    re.ASCII,
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def is_date(text: str) -> bool:
    """Return whether a text is a full date of RFC 3339."""
    if not _DATE.fullmatch(text):
        return False
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def is_time(text: str) -> bool:
    """Return whether a text is a full time of RFC 3339; a leap second is the last of a UTC day."""
    found = _TIME.fullmatch(text)
    if found is None:
        return False
    if found["second"] != "60":
        return True
    ahead = 60 * int(found["ahead"] or 0) + int(found["minutes"] or 0)
    minute = 60 * int(found["hour"]) + int(found["minute"])
    return (minute - (-ahead if found["sign"] == "-" else ahead)) % 1440 == 1439


def is_date_time(text: str) -> bool:
    """Return whether a text is a date and time of RFC 3339."""
    return text[10:11] in ("T", "t") and is_date(text[:10]) and is_time(text[11:])


def is_email(text: str) -> bool:
    """Return whether a text is a mailbox of RFC 5321."""
    found = _EMAIL.fullmatch(text)
    if found is None:
        return False
    if found["host"] is not None:
        return is_hostname(found["host"])
    address: str = found["address"]
    version = is_ipv6 if address.startswith("IPv6:") else is_ipv4
    return version(address.removeprefix("IPv6:"))


def is_hostname(text: str) -> bool:
    """Return whether a text is a host name of RFC 1123."""
    return _HOSTNAME.fullmatch(text) is not None


def is_ipv4(text: str) -> bool:
    """Return whether a text is an address in dotted notation."""
    return _is_address(text, ipaddress.IPv4Address)


def is_ipv6(text: str) -> bool:
    """Return whether a text is an address of RFC 4291, without a zone."""
    return "%" not in text and _is_address(text, ipaddress.IPv6Address)


def is_uri(text: str) -> bool:
    """Return whether a text is a URI of RFC 3986, with a scheme."""
    scheme = _SCHEME.match(text)
    return scheme is not None and _is_uri_rest(text[scheme.end() :])


def is_uri_reference(text: str) -> bool:
    """Return whether a text is a URI of RFC 3986, or one relative to another."""
    first = re.split(r"[/?#]", text, maxsplit=1)[0]
    return is_uri(text) if ":" in first else _is_uri_rest(text)


def is_regex(text: str) -> bool:
    """Return whether a text is a pattern that this package takes."""
    try:
        compiled(text)
    except PatternError:
        return False
    return True


def _is_uri_rest(text: str) -> bool:
    found = _URI_REST.fullmatch(text)
    return found is not None and (
        found["address"] is None
        or is_ipv6(found["address"])
        or re.fullmatch(r"[vV][0-9A-Fa-f]+\..+", found["address"]) is not None
    )


def _is_address(text: str, kind: Callable[[str], object]) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return text.isascii()


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


FORMATS: dict[str, Callable[[str], bool]] = {
    "date": is_date,
    "time": is_time,
    "date-time": is_date_time,
    "duration": _matches(_DURATION),
    "email": is_email,
    "hostname": is_hostname,
    "ipv4": is_ipv4,
    "ipv6": is_ipv6,
    "json-pointer": _matches(_POINTER),
    "regex": is_regex,
    "relative-json-pointer": _matches(_RELATIVE_POINTER),
    "uri": is_uri,
    "uri-reference": is_uri_reference,
    "uuid": _matches(_UUID),
}
"""By name, whether a text has a format."""


def format_checker() -> FormatChecker:
    """Return the checker of `FORMATS` for `jsonschema`; values that are no text pass."""
    checker = FormatChecker(formats=())
    for name, has_format in FORMATS.items():
        checker.checks(name)(
            lambda value, test=has_format: not isinstance(value, str) or test(value)
        )
    return checker
