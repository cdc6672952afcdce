"""Which addresses an operator's list permits, whatever their spelling, and which IP addresses are nobody's."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import httpx
import pytest

from gateway.api.remote.hosts import AddressRefused, HostList, host_name
from gateway.api.remote.media import RemoteMedia
from gateway.api.remote.network import is_private, is_public
from gateway.config import ConfigError, Settings
from gateway.models_file import with_file_settings
from gateway.runtime.metrics import Metrics

LIST = HostList(
    ["images.example.com", ".Example.NET", "http://10.0.0.7:8080", "https://[2606:4700::1111]", "bücher.example",
     "private:store.lan", "https://a.example:8443"]
)  # fmt: skip


@pytest.mark.parametrize(
    "url",
    [
        "https://images.example.com/a.png",
        "HTTPS://IMAGES.example.COM/a.png",
        "https://images.example.com./a.png",
        "https://images.example.com:443/a.png?b#c",
        "https://a.b.example.net/",
        "http://10.0.0.7:8080/a.png",
        "https://[2606:4700:0:0::1111]/",
        "https://bücher.example/",
        "https://xn--bcher-kva.example/",
        "https://store.lan/",
        "https://a.example:8443/",
    ],
)
def test_what_the_list_names_is_permitted_in_every_spelling(url: str) -> None:
    assert LIST.host_of(httpx.URL(url))


@pytest.mark.parametrize(
    "url",
    [
        "http://images.example.com/a.png",
        "https://images.example.com:8443/a.png",
        "https://example.com/",
        "https://a.images.example.com/",
        "https://images.example.com.evil.example/",
        "https://images.example.com@evil.example/",
        "https://images.example.com%2f@evil.example/",
        "https://evil.example/#@images.example.com",
        "https://evil.example\\@images.example.com/",
        "https://user@images.example.com/",
        "https://user:secret@images.example.com/",
        "https://example.net/",
        "https://badexample.net/",
        "https://10.0.0.7:8080/",
        "http://10.0.0.7/",
        "http://167772167:8080/",
        "http://0x0a000007:8080/",
        "http://[::ffff:10.0.0.7]:8080/",
        "https://a.example/",
        "https://buecher.example/",
        "https://ımages.example.com/",
        "ftp://images.example.com/",
        "file://images.example.com/etc/passwd",
        "https:images.example.com",
        "https:///images.example.com/",
        "https://images.example.com:0/",
        "ftp://images.example.com:443/",
    ],
)
def test_everything_else_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        LIST.host_of(httpx.URL(url))


@pytest.mark.parametrize(
    "entry",
    ["", " ", "*", "*.example.com", "a b", "ftp://a.example", "https://a.example/path", "https://user@a.example",
     "a.example?b", "a.example:99999", "a.example:0", "ftp://a.example:443", ".10.0.0.7", "https://[::1",
     "10.0.0.7:x", "private:", "private:private:a"],
)  # fmt: skip
def test_an_entry_that_is_no_host_ends_the_start(entry: str) -> None:
    with pytest.raises(ConfigError, match="media_hosts"):
        HostList([entry])


def test_hosts_come_from_the_environment_or_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("gateway: {media_hosts: [images.example.com]}\nmodels: []")
    assert with_file_settings(Settings(), file).media_hosts == ("images.example.com",)
    monkeypatch.setenv("GATEWAY_MEDIA_HOSTS", "a.example, .b.example,")
    assert with_file_settings(Settings(), file).media_hosts == ("a.example", ".b.example")


def test_an_offline_gateway_with_hosts_does_not_start() -> None:
    with pytest.raises(ConfigError, match="GATEWAY_OFFLINE forbids"):
        RemoteMedia.of(Settings(offline=True, media_hosts=("a.example",)), Metrics())
    assert RemoteMedia.of(Settings(offline=True), Metrics()) is None


PUBLIC = ["1.1.1.1", "8.8.8.8", "100.63.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1", "223.255.255.255",
          "2606:4700::1111", "2a00:1450::1"]  # fmt: skip
PRIVATE = ["127.0.0.1", "127.255.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd00::1"]
NOBODYS = [
    "0.0.0.0", "169.254.169.254", "192.0.0.1", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
    "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::ffff:8.8.8.8", "::ffff:127.0.0.1", "::8.8.8.8",
    "64:ff9b::808:808", "64:ff9b:1::1", "2002:808:808::1", "2001:0:808:808::1", "2001:db8::1", "3fff::1",
    "fe80::1", "fec0::1", "ff02::1", "100::1", "5f00::1",
]  # fmt: skip


@pytest.mark.parametrize("text", PUBLIC + PRIVATE + NOBODYS)
def test_only_ordinary_addresses_are_public(text: str) -> None:
    address = ipaddress.ip_address(text)
    assert (is_public(address), is_private(address)) == (text in PUBLIC, text in PRIVATE)


def test_an_entry_that_is_an_ip_address_admits_that_one() -> None:
    link = HostList(["http://169.254.169.254"]).host_of(httpx.URL("http://169.254.169.254/"))
    assert link.admits(ipaddress.ip_address("169.254.169.254"))
    assert not link.admits(ipaddress.ip_address("169.254.169.253"))


def test_a_private_entry_admits_no_link_local_address() -> None:
    host = LIST.host_of(httpx.URL("https://store.lan/"))
    assert host.admits(ipaddress.ip_address("192.168.0.9"))
    assert not host.admits(ipaddress.ip_address("169.254.169.254"))
    assert host_name(httpx.URL("https://STORE.lan./")) == "store.lan"
