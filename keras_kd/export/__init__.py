"""Students as files that other programs run: SavedModel and LiteRT."""
