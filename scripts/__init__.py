"""The modules behind `scripts/demo`. People and CI run `scripts/demo` and `scripts/test`."""
