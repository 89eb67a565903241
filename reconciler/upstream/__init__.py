"""A repository that is kept elsewhere: fetched, followed, merged with, pushed back to."""
