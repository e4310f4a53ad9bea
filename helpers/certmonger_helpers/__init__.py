"""Enrolment helpers: programs that carry requests to CAs."""
