"""Training: recipe, data, optimiser, loop and export. Needs torch; writes no model folder but through `export`."""
