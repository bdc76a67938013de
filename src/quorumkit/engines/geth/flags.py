"""The flags of geth, and of its forks, that are not a person's to give."""

OUR_FLAGS = (
    # These, but not all that begins like them: --cache.gc and --rpc.gascap are anybody's.
    r"cache|rpc|rpc\.enabledeprecatedpersonal|rpc(addr|port|api|corsdomain|vhosts)|blobpool\.datadir|pprof\.addr|pprofaddr"
    r"|txpool\.(pricelimit|nolocals|locals)"
    # And whole families. Where the node's data, keys and peers are;
    r"|(config|datadir|raftlogdir|keystore|nodekey|nodekeyhex|ipcpath|ipcdisable|usb|nousb|signer|unlock|password"
    r"|port|nat|bootnodes|nodiscover|v5disc|discovery|netrestrict|maxpeers|maxpendpeers|permissioned|qlight"
    # which network it is, and how blocks are made;
    r"|networkid|mainnet|goerli|sepolia|holesky|rinkeby|ropsten|yolov3|dev|override|syncmode|gcmode|synctarget"
    r"|exitwhensynced|mine|miner|gpo|istanbul|raft[a-z]*|fakepow|catalyst"
    # who may call it, and what the node program reads.
    r"|http|ws|authrpc|allow-insecure-unlock|verbosity|ptm|help|version)(\..*)?"
)
"""Those that Quorumkit sets, or that would undo what it sets, without their dashes."""

FIELDS_INSTEAD = {
    "verbosity": "engine.verbosity",
    "cache": "engine.cache",
    "gcmode": "engine.state",
    "syncmode": "engine.state",
    "networkid": "chain_id",
    "http": "rpc.http",
    "rpc": "rpc.http",
    "ws": "rpc.ws",
    "istanbul": "consensus",
    "miner": "genesis and consensus",
    "gpo": "genesis.free_gas",
    "txpool.pricelimit": "genesis.free_gas",
    "txpool.nolocals": "genesis.free_gas",
    "txpool.locals": "genesis.free_gas",
    "raftblocktime": "consensus.raft_block_time",
}
"""The field of the spec to say it in, by flag or by family of flags."""
