"""Pictures of robots' middlewares made pixels: conversions on values; no middleware is imported here."""
