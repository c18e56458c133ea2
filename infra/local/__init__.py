"""The AWS of this machine: moto's server, patched where it lies, and PostgreSQL in Redshift's clothes."""
