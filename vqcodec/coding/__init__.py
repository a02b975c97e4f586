"""Index maps to payloads and back: tiles, integer frequencies, entropy coders, priors."""
