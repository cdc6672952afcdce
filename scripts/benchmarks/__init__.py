"""Measures the gateway against the libraries it runs, called directly; no part of the installed package."""
