"""What a run does, for those who watch it: figures over HTTP, for Prometheus and for people, and a trace."""
