"""The page of `vqcodec serve`: a web server for one machine, which works on one picture at a time."""
