"""From a run's figures to pages and sheets that people read."""
