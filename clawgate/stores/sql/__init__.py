"""Schema, migrations and queries. Ring: edge."""
