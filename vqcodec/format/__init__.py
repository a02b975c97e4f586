"""The .vq file as FORMAT.md specifies it: the standard library alone."""
