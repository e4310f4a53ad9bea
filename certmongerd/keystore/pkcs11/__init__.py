"""Keys in PKCS #11 tokens, by python-pkcs11 in a process of its own."""
