"""Posts on Facebook pages."""
