"""Git → frozen versions → live deployments. Imports `schemas` and `store`; never `runner`.

`git` is the door to the repository, `differences` says how two versions differ; `actions`, `reviews`, `upstream`
and `forges` are the ways in which commits come about. What stands here turns commits into what is live: `snapshot`
(a commit's documents) → `freeze` → `view` (what all refs want) → `plan` → `landing` → `delivery`, under one lock.
"""
