"""FreeIPA: its JSON-RPC interface, and where its servers are."""
