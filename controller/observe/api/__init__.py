"""The pages under /api/v1/: JSON documents, built from the last reports of the loops when somebody asks."""
