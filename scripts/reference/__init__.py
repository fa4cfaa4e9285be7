"""docs/reference.md, generated from the code: `python -m scripts.reference` prints the page."""
