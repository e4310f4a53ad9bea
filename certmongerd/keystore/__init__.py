"""Private keys and certificates where services expect them: PEM files and NSS databases, behind one Protocol.

`store.open_key_store` picks the store for a storage type; its methods block and
raise `KeyStoreError` whose kind says what somebody has to do about it.
"""
