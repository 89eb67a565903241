"""What people do by command or API: as the commit or tag that says so."""
