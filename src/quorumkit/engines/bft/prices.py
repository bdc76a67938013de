"""What geth suggests that gas be paid with. Pure.

With free gas it is to be nothing, so that an account that holds nothing can send what a wallet makes of it. geth
suggests the tips that the last blocks' transactions paid, among them those of 0 only where `IgnorePrice` is below 0: it
takes what is not above 0 for unset, and reads no more than 64 bits of the number for that (eth/gasprice/gasprice.go,
NewOracle). With no transaction in the last blocks it goes on with what it suggested last, and after a start that is
`--miner.gasprice`, which cannot be 0; so the node sends one transaction that pays nothing (`care`).
"""

from __future__ import annotations

BELOW_ALL = -(2**64 - 1)
"""Not above 0 in 64 bits, and below every price."""


def suggestions(*, free: bool, least: int) -> dict[str, int]:
    """`[Eth.GPO]` of geth.toml; prices in wei per gas. The table takes the place of geth's own, so its sizes stand here
    too."""
    sizes = {"Blocks": 20, "MaxHeaderHistory": 1024, "MaxBlockHistory": 1024}
    if free:
        return {**sizes, "Percentile": 0, "MaxPrice": 1, "IgnorePrice": BELOW_ALL}
    return {**sizes, "Percentile": 60, "MaxPrice": 2**63 - 1, "IgnorePrice": max(1, least)}
