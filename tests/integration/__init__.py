"""Tests on real parts: a real engine, a real etcd, the real program, faults included."""
