"""From-scratch implementations that figures, code blocks on pages and tests share."""
