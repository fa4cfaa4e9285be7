"""Everything that tests wharfinger; `tests.support` is also what the demo stands on."""
