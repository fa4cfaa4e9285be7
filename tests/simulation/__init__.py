"""A whole fleet in one process, in virtual time: hosts, engines, an etcd cluster and their faults, from one seed."""
