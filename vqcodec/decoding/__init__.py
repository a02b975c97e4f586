"""The bytes of files to codes and pictures."""
