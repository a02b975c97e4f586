"""Rate: what decides the size of a file, and the choice of codes by what they cost."""
