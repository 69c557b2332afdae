"""What the layers above and below say to each other: types and Protocols; nothing here asks anybody anything."""
