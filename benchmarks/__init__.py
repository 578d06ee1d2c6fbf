"""Speed and memory, each measured by a command that prints a table."""
