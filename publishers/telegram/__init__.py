"""Messages in Telegram channels."""
