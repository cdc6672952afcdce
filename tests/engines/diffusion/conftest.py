"""A tiny checkpoint of each family, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tiny_diffusion


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("diffusion")


@pytest.fixture(scope="session")
def sd(home: Path) -> Path:
    return tiny_diffusion.stable_diffusion(home / "sd")


@pytest.fixture(scope="session")
def inpainting(home: Path) -> Path:
    return tiny_diffusion.stable_diffusion(home / "inpainting", inpainting=True)


@pytest.fixture(scope="session")
def xl(home: Path) -> Path:
    return tiny_diffusion.stable_diffusion_xl(home / "xl")


@pytest.fixture(scope="session")
def flux(home: Path) -> Path:
    return tiny_diffusion.flux(home / "flux")


@pytest.fixture(scope="session")
def flux_2(home: Path) -> Path:
    return tiny_diffusion.flux_2(home / "flux-2")
