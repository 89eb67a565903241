"""How two versions or deployments differ, in words and for programs: pure."""
