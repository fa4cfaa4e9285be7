"""What this host runs: the Docker engine, and this host's address."""
