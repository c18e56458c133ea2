"""The engine of clusters: Spark finds, settles and writes rows; what is committed is committed as everywhere."""
