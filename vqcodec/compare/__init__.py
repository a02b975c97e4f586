"""A benchmark against other codecs: results, plots, reports. Needs the extra `vqcodec[bench]`."""
