"""What do people see of a run: stored documents of any version become views, plain JSON that pages and reports draw."""
