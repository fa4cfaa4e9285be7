"""What etcd holds: the registry interface, its URI and credentials, failover, owner records, one package an API."""
