"""What the formats of JSON Schema look like, as regular expressions that match nothing else; knows no grammar."""

from __future__ import annotations

_OCTET = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_DATE = r"[12][0-9]{3}-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_LABEL = r"[a-z0-9]([a-z0-9-]{0,14}[a-z0-9])?"
_HOST = rf"{_LABEL}(\.{_LABEL}){{0,3}}\.[a-z]{{2,6}}"
_HEX = r"[0-9a-f]"

# Narrower than the standards allow (RFC 3339, 5321, 1123, 3986, 4122), and never wider.
PATTERNS = {
    "date": f"^{_DATE}$",
    "time": f"^{_TIME}$",
    "date-time": f"^{_DATE}T{_TIME}$",
    "duration": r"^P([1-9][0-9]{0,3}D(T[1-9][0-9]{0,3}H)?|T[1-9][0-9]{0,3}[HMS]|[1-9][0-9]{0,3}[WMY])$",
    "email": rf"^[A-Za-z0-9]([A-Za-z0-9_+-]|\.[A-Za-z0-9]){{0,31}}@{_HOST}$",
    "hostname": f"^{_HOST}$",
    "ipv4": rf"^{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}$",
    "ipv6": rf"^{_HEX}{{1,4}}(:{_HEX}{{1,4}}){{7}}$",
    "uri": rf"^https?://{_HOST}(/[A-Za-z0-9._~-]+)*/?$",
    "uuid": rf"^{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}$",
}
# They say how a number or text is to be kept, and nothing of how it is written.
WITHOUT_EFFECT = frozenset({"int32", "int64", "float", "double", "password", "text", "textarea"})
