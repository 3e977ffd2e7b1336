"""The only place that builds adapters: from a Config to running parts."""
