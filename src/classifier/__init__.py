"""The image classifier; src/README.md describes its packages."""
