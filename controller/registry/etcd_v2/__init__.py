"""etcd's v2 API as a registry."""
