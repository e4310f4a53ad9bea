"""Kerberos for enrolment helpers: GSSAPI (RFC 2743, RFC 2744) of the host's MIT library, as an initiator."""
