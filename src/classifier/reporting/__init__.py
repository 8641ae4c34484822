"""The pull-request report: what changed between two revisions."""
