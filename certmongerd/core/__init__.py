"""The pure core: data and decisions, without I/O, clock or randomness."""
