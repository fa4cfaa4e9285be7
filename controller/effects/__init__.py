"""Time, background work, names and routes, as values that commands/build.py makes and hands down."""
