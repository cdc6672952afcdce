"""The gateway command."""
