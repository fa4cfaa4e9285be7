"""What the operator asked for: flags, their conversion, settings."""
