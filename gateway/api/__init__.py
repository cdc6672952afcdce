"""HTTP in and out, in the wire formats of Cloudflare; knows nothing of how a model runs."""

from gateway.api.mount import install
from gateway.api.state import State

__all__ = ["State", "install"]
