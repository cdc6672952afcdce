"""What can go wrong with weights, in words that say what to do next; knows no source and no store."""

from __future__ import annotations

from gateway.errors import ModelUnavailable


class WeightsMissing(ModelUnavailable):
    """The model's files are not on this machine."""


class WeightsDamaged(ModelUnavailable):
    """A file is not what was pulled; the text names it."""


class WeightsRefused(ModelUnavailable):
    """A file could run code or is not the file that models.lock pins; the text names it."""


class PullFailed(ModelUnavailable):
    """Files could not be fetched (network, index, disk, offline mode); nothing half-written is visible."""
