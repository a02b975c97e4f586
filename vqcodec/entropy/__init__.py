"""Integer frequencies and the entropy coders that turn index maps into payloads and back."""
