"""A run: from files and a teacher to trained students, scores and a report."""
