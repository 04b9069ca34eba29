"""The commands of ``headless-discovery``, one module each; `_cli` parses and calls them."""
