"""What gas costs on a chain of go-ethereum's, and how a client is told. Pure.

A transaction that cannot be mined is to be refused by whichever node it is sent to, and not to wait for ever.

**Free gas** (`genesis.free_gas`): the chain stops at Berlin's rules, before London brought the base fee, which no
setting keeps at 0 (EIP-1559: one block more than half full raises it by 1 wei at least, and below 8 wei it never
falls). Every pool takes, and every validator mines, a transaction whose gas price is 0.

**Priced gas**: London's rules. At rest the base fee is between 0 and 8 wei. Pools refuse, from whoever it comes, what
offers less than `LEAST_TIP`, and the client suggests `SUGGESTED_TIP`. The first bounds what a validator mines too
(geth sets both to one value, eth/backend.go, StartMining), so that a tip seen in a past block (eth_feeHistory), from
which some wallets reckon theirs, is taken. The second is so far above it that it pays for the base fee too until that
is 100 wei, from where it falls as soon as blocks are less than half full.
"""

LEAST_TIP = 900
"""Wei per gas. The pool counts a legacy transaction's whole gas price as its tip; a block, what the base fee leaves."""

SUGGESTED_TIP = 1000
"""Wei per gas: `eth_maxPriorityFeePerGas`; `eth_gasPrice` is the base fee more."""

_NOTHING = 2**63 - 1  # wei; so much nobody pays

_POOL = {"accountslots": 1024, "globalslots": 16384, "accountqueue": 4096, "globalqueue": 8192}
"""How much a pool holds (geth's own: 16, 5120, 64, 1024). geth lets those who send by JSON-RPC hold more than that,
unless their prices must be looked at too."""


def gas_flags(*, free: bool, gas_limit: int | None) -> list[str]:
    """The command line of a node whose blocks have that gas limit; without one the client goes towards its own.

    `--miner.gasprice` and `--txpool.pricelimit` bound from below what a block and the pool take; 0 is possible only for
    the pool (eth/backend.go, New), and the driver tells the miner (`set_up`). `--txpool.nolocals` has the pool look at
    the price of what comes by JSON-RPC too. It costs the journal: what the whole network has not mined when it stops is
    gone.
    """
    if free:
        flags = ["--miner.gasprice", "1", "--txpool.pricelimit", "0"]
    else:
        flags = ["--miner.gasprice", str(LEAST_TIP), "--txpool.pricelimit", str(LEAST_TIP), "--txpool.nolocals"]
        for name, size in _POOL.items():
            flags += [f"--txpool.{name}", str(size)]
    if gas_limit is not None:
        flags += ["--miner.gaslimit", str(gas_limit)]
    return flags


def suggestions(*, free: bool) -> dict[str, int]:
    """`[Eth.GPO]` of geth.toml: what the client suggests, always the same. It learns nothing from tips that it ignores,
    and the command line cannot name the value it begins with. The table takes the place of geth's own, so its sizes
    stand here too."""
    tip = 0 if free else SUGGESTED_TIP
    return {
        "Blocks": 20,
        "Percentile": 60,
        "MaxHeaderHistory": 1024,
        "MaxBlockHistory": 1024,
        "Default": tip,
        "MaxPrice": tip or _NOTHING,
        "IgnorePrice": tip or _NOTHING,
    }
