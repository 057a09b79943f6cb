"""What the build adds to MkDocs: one concern a module, text in and text out."""
