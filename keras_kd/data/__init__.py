"""Text from files and TFDS, tokens, splits and batches."""
