"""The network side of scep-submit: the operations of a SCEP server."""
