"""Training of RecBackend's models: data, features, recipes, and the bundle that serving reads."""
