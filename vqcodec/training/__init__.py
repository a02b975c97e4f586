"""Training of networks, from photos to a model folder, which `export` makes or adds to. `dial` calibrates its quality dials."""
