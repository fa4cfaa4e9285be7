"""What wharfinger decides: values and functions of values, without I/O, clock or randomness.

In the order of the data flow: ``container``, ``listing``, ``snapshot`` -> ``rules`` -> ``entry``, ``refusal`` ->
``address``, ``ports``, ``metadata`` -> ``layout``, ``skydns`` -> ``desired`` -> ``stored``, ``record``, ``ownership``
-> ``plan`` -> ``guard`` -> ``report``, ``memory``. Beside them are ``backoff`` and what several of them need:
``described``, ``dns``, ``family``, ``frozen``, ``keys``.
"""
