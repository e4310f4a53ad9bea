"""certmongerd: obtains, tracks and renews X.509 certificates for this host."""

__version__ = "0.1.0"
