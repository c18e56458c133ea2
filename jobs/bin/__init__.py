"""Entry files for spark-submit and Glue."""
