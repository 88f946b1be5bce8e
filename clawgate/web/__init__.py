"""HTTP: from bytes on a socket to a service call and back. Ring: edge."""
