"""PostgreSQL and Valkey as children of this process, for whoever brings no servers of their own."""
