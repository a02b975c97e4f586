"""The .vq file as FORMAT.md specifies it. Only the standard library is used here."""
