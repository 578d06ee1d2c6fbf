"""Teachers, and their targets on disk."""
