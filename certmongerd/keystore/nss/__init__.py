"""NSS databases, by the system's own libnss3 in a process of its own."""
