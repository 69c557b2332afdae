"""Where data is and how it is read and written: URIs, Ray datasets, output that is there once and whole."""
