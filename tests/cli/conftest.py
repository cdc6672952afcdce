"""The package index and the home of the tests of weights serve here too."""

from tests.weights.conftest import home, only_loopback, site

__all__ = ["home", "only_loopback", "site"]
