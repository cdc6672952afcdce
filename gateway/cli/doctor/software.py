"""Checks Python and the installed packages against what this release needs and was tested with."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from gateway.cli.doctor.finding import Finding, fault, note, ok

DISTRIBUTION = "gateway"
LEAST_PYTHON = (3, 11)
PINS = Path(__file__).resolve().parents[3] / "constraints.txt"
SETUP = "run scripts/setup, or `pip install -c constraints.txt 'gateway[engines]'`"


def check(pins_file: Path = PINS) -> Iterator[Finding]:
    """Python, then what is missing or too old, then what is not the tested version."""
    found = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < LEAST_PYTHON:
        yield fault("python", found, "use Python 3.11 or newer")
    else:
        yield ok("python", found)
    try:
        requirements = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or []]
    except metadata.PackageNotFoundError:
        yield fault("packages", "gateway is run without having been installed", SETUP)
        return
    yield from compare(requirements, installed(), pins(pins_file))


def installed() -> dict[str, Version]:
    """The installed distributions by canonical name."""
    return {canonicalize_name(one.name): Version(one.version) for one in metadata.distributions() if one.name}


def pins(file: Path) -> dict[str, Version]:
    """The versions of a constraints file, by canonical name; empty if there is no such file."""
    if not file.is_file():
        return {}
    lines = (line.partition("#")[0].partition(";")[0].strip() for line in file.read_text().splitlines())
    pairs = (line.split("==") for line in lines if "==" in line)
    return {canonicalize_name(name.strip()): Version(version.strip()) for name, version in pairs}


def compare(requirements: list[Requirement], have: dict[str, Version], tested: dict[str, Version]) -> Iterator[Finding]:
    """Compare what is needed to serve (core and engines) with what is there."""
    needed = [one for one in requirements if one.marker is None or _applies(one)]
    is_wrong = False
    for one in needed:
        version = have.get(canonicalize_name(one.name))
        if version is None:
            yield fault(f"package {one.name}", f"missing; {one.specifier} is needed", SETUP)
        elif not one.specifier.contains(version, prereleases=True):
            yield fault(f"package {one.name}", f"{version}; {one.specifier} is needed", SETUP)
        else:
            continue
        is_wrong = True
    other = [
        f"{name} {have[name]} (tested: {version})"
        for name, version in sorted(tested.items())
        # What follows the + says for which hardware it was built.
        if name in have and have[name].public != version.public
    ]
    if other:
        yield note("packages", f"other versions than the tested ones: {', '.join(other)}", SETUP)
    elif not is_wrong:
        against = "each the tested version" if tested else "no list of tested versions is here to compare with"
        yield ok("packages", f"{len(needed)} needed ones are there, {against}")


def _applies(requirement: Requirement) -> bool:
    assert requirement.marker is not None
    return any(requirement.marker.evaluate({"extra": extra}) for extra in ("", "engines"))
