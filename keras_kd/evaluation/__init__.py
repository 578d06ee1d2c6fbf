"""Scores, the verdict on a comparison, and the report of a run."""
