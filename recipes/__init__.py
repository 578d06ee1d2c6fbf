"""Recipes: one short script for each data set."""
