"""Trained models: their configs, where they are found, and loading them."""
