"""Documents that declare CAs and requests, in YAML: text in, values or mistakes with their lines out. No I/O.

Importing it imports a YAML parser; whoever needs it only at times imports it then.
"""
