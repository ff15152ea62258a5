"""The quality benchmark: recipes and controls on the protocols of MovieLens-1M (docs/quality.md)."""
