"""Pictures to the bytes of files."""
