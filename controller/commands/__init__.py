"""One module for each subcommand, and the one that builds the parts of the program."""
