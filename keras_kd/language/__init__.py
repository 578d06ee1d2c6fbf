"""Language models, distilled on raw text before any task."""
