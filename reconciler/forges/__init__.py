"""The forge that keeps the upstream: pull requests there get the plan as one comment and a commit status."""
