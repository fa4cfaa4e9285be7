"""What looks at the report of a pass: metrics, health, the pass log, systemd, HTTP."""
