"""Jobs by Ray's Jobs API: the way of every cluster whose dashboard can be reached."""
