"""Comparison of vqcodec with other codecs: measurements, plots, reports. Needs the extra `bench`."""
