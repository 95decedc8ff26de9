"""Whatever else Apprise can reach."""
