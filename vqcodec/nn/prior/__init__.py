"""PixelSNAIL priors in exact fixed-point arithmetic."""
