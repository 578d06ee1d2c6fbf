"""The search for settings that distil best, on targets asked for once."""
