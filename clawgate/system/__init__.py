"""The machine: clocks, files, processes, logs. Ring: edge."""
