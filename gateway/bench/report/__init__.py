"""A run as one page for a browser, which asks nobody for anything."""
