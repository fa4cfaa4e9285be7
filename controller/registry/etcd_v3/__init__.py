"""etcd's v3 API as a registry."""
