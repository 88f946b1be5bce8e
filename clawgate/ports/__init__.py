"""What the outside must offer, as protocols. Ring: ports."""
