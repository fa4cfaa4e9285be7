"""The pass, the loop that repeats it, and the removal of one host's entries."""
