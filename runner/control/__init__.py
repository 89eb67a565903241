"""The nodes that steer a run: containers, calls, timers, and what waits for people. Each gives a journal entry."""
