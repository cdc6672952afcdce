"""Which IP addresses may be connected to for a caller; opens nothing."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

IpAddress = IPv4Address | IPv6Address

# What is not an ordinary address of the internet, by IANA's registries of special-purpose addresses. Of IPv6 only
# 2000::/3 is in use for hosts, which leaves out IPv4 in mapped, compatible and NAT64 form (RFC 4291, RFC 6052).
_SPECIAL_V4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)
_HOSTS_V6 = IPv6Network("2000::/3")
# Teredo and other protocols' own, documentation, 6to4, documentation again.
_SPECIAL_V6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
# This machine and private networks (RFC 1918, 4193, 6598); not link-local: clouds keep their secrets there.
_PRIVATE = tuple(
    map(
        ip_network, ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1", "fc00::/7")
    )
)


def is_public(address: IpAddress) -> bool:
    """Whether it is a host's on the internet, and leads nowhere else."""
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _SPECIAL_V4)
    return address in _HOSTS_V6 and not any(address in block for block in _SPECIAL_V6)


def is_private(address: IpAddress) -> bool:
    """Whether it is this machine's or one of a private network."""
    return any(address in block for block in _PRIVATE)
