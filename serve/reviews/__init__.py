"""Reviews of events by people: an append-only log beside the run folder, and the labelled data that come of it."""
