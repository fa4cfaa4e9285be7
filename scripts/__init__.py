"""What people and CI run: `scripts/demo` and `scripts/test`."""
