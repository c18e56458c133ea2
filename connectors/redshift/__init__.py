"""redshift."""
