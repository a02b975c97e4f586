"""Pictures: reading and writing them, their metadata, and measures of their distortion."""
