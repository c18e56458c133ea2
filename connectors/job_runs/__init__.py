"""Job runs on the services that run Spark: asked for, found again, followed, cancelled."""
