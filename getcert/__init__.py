"""getcert: the command line client."""
