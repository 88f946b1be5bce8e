"""The commands of `clawgate`, one module per noun. Ring: entry. `clawgate.cli` puts them together; none of them reads the environment itself."""
