"""HTTP in and out, in the wire formats of Cloudflare; knows nothing of how a model runs."""
