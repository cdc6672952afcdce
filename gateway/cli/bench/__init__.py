"""`gateway bench`: how fast a model answers, and what the same work costs at Cloudflare."""
