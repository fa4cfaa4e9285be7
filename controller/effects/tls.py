"""The TLS contexts with which this program connects."""

from __future__ import annotations

import ssl


def verifying_context(ca: str = "") -> ssl.SSLContext:
    """Return a context that verifies the certificate and the name of a server, and speaks TLS 1.2 or later.

    ``ca`` is the path of a PEM file with the only authorities to trust; empty: the system's. Raises OSError and
    ssl.SSLError. The version is set here because some builds of Python, such as Debian's, set none, and leave it to
    OpenSSL's configuration. From 3.13 on, Python also refuses certificates for their form, such as those without an
    authority key identifier. Private authorities issue such certificates, and etcd, Docker and their clients take them,
    so every Python takes them here. What makes a certificate trusted is the same: its authority, name and dates.
    """
    context = ssl.create_default_context(cafile=ca or None)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    return context
