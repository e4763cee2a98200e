"""What every btrfuse test stands on: images, mounts, oracles, and the tools that judge an image afterwards."""
