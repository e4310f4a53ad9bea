"""The network side of scep-submit: HTTP with limits, and the operations of a SCEP server."""
