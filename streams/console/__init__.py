"""The console at `/`: a page that shows somebody on call, live, what a worker knows of itself, and lets them act."""
