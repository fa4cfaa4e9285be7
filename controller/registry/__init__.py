"""What etcd holds: the interface of a registry, its URI and credentials, failover, owner records, and one package for each of etcd's APIs."""
