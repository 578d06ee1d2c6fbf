"""Studies: students that differ in one thing, side by side."""
