"""The parts of acme-submit: account, orders, challenges (RFC 8555), over the helpers' HTTP client.

Messages and signatures are those of the libraries `acme` and `josepy`. Their client is not used: it waits in its own
loops and reads answers of any length with `requests`.
"""
