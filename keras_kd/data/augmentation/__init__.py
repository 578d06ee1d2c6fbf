"""More text from the text there is, for the teacher to label."""
