"""The web: tracking pages and their exports, webhooks of providers, and the way out for citizens."""
