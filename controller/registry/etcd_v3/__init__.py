"""A registry over etcd's v3 API: client, lease, reader and writer, and the function that puts them together."""
