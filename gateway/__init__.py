"""Gateway: Cloudflare's Workers AI routes, answered by open models on your own machines."""

__version__ = "0.1.0"
