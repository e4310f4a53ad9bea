"""The parts of est-submit: the operations of a server for Enrollment over Secure Transport (RFC 7030)."""
