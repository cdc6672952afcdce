"""Measures an endpoint from outside, as its callers see it, and says what the same work costs elsewhere."""
