"""The command line flags, the conversion of their values, and the settings that come out."""
