"""Everything in wharfinger that has effects. Its packages follow the data flow: source, registry, reconcile, observe,
config, commands."""

#: The version of the program. The package takes it from here. Looking it up in the installed package's metadata would
#: load a library for it each time the program starts.
__version__ = "0.1.0"
