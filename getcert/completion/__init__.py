"""Completion in shells: what can follow, from the tables of commands and options, and a script for each shell."""
