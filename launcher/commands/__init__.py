"""One file a command, or a few that belong together; each registers itself on the Typer application."""
