"""Keys, names, signing requests and certificates: bytes to values and back, without any I/O.

`names`, `keys`, `csr`, `extensions`, `certs`, `chains` and `reply` are what the rest of the daemon and the helpers
use; `der`, `pem`, `pbes2` and `algorithms` serve them.
"""
