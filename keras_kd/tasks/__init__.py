"""Tasks: what a label is, how it is learned and how it is scored."""
