"""AWS Glue as a catalog."""
