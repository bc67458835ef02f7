"""What `vidgap analyze` costs, page and figures included."""
