"""Media that a request names by address instead of holding it (docs/tasks/vision.md)."""
