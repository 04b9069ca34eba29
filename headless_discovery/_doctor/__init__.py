"""The doctor: why pods do not find one another, from inside a pod with nothing but DNS.

`_observe` asks and reads, and puts what came into the frozen values of `_observations`; it judges
nothing. `_findings` is the walk: checks that judge those values, each a pure function, in `_place`,
`_servers`, `_published` and `_way`.
"""
