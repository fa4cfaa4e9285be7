"""What wharfinger decides: values and functions of values, without I/O, clock or randomness.

Read from the bottom up: ``container`` -> ``metadata``, ``ports``, ``address`` -> ``entry`` -> ``layout`` ->
``desired``; then ``stored``, ``record`` -> ``ownership`` -> ``plan`` -> ``guard`` -> ``report``, and ``backoff`` beside
them.
"""
