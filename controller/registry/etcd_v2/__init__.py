"""A registry over etcd's v2 API: client, reader and writer, and the function that puts them together."""
