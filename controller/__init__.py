"""Everything in wharfinger that has effects. Its packages follow the data flow: source, registry, reconcile, observe,
config, commands."""
