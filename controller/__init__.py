"""wharfinger's effects, in the order of the data flow: engine, registries, pass, loop, metrics, HTTP, command line."""
