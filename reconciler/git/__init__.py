"""Git: objects by libgit2, refs and connectivity by the `git` program. Imports nothing of the rest."""
