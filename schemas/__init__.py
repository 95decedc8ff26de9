"""What crosses a boundary: events, announcements, deliveries and the messages handed to publishers."""
