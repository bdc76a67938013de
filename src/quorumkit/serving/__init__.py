"""What all HTTP servers of this project share."""
