"""What the project claims about itself, measured on markets whose truth is known."""
