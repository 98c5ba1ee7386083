"""The attack catalogue: one named test for each number; docs/reference/security.md has the list."""
