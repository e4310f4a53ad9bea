"""Dogtag Certificate System: its end-entity and agent interfaces, which answer forms with XML."""
