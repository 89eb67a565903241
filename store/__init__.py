"""PostgreSQL: what ran, and what is live now. The only folder with SQL; imports `schemas` alone."""
