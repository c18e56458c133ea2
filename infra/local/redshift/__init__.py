"""A Redshift that executes: PostgreSQL behind a rewriter of SQL, the Data API, and the wire protocol."""
