{{/* What each client can, as Quorumkit's recipes say it. Written by scripts/chart_readme.py; run `make docs` after a
     change. */}}
{{- define "quorumkit.engines" -}}
{
  "geth": {
    "all": "bft clique",
    "unmarked": "clique",
    "bft": {
      "version": "1.17.10",
      "privateTransactions": false,
      "apiModules": [
        "eth",
        "net",
        "web3",
        "txpool",
        "admin",
        "debug",
        "miner"
      ],
      "ourFlags": "(cache|rpc|rpc\\.enabledeprecatedpersonal|rpc(addr|port|api|corsdomain|vhosts)|blobpool\\.datadir|pprof\\.addr|pprofaddr|txpool\\.(pricelimit|nolocals|locals)|(config|datadir|raftlogdir|keystore|nodekey|nodekeyhex|ipcpath|ipcdisable|usb|nousb|signer|unlock|password|port|nat|bootnodes|nodiscover|v5disc|discovery|netrestrict|maxpeers|maxpendpeers|permissioned|qlight|networkid|mainnet|goerli|sepolia|holesky|rinkeby|ropsten|yolov3|dev|override|syncmode|gcmode|synctarget|exitwhensynced|mine|miner|gpo|istanbul|raft[a-z]*|fakepow|catalyst|http|ws|authrpc|allow-insecure-unlock|verbosity|ptm|help|version)(\\..*)?)|(state\\.scheme|cache\\.gc|history\\.state|blobpool\\.datacap|beacon|synctarget)(\\..*)?",
      "state": "pruned",
      "gasLimit": 1000000000,
      "freeGas": true,
      "ports": {
        "bft": 26656,
        "light": 26657
      }
    },
    "clique": {
      "version": "1.13.15",
      "privateTransactions": false,
      "apiModules": [
        "eth",
        "net",
        "web3",
        "txpool",
        "admin",
        "clique",
        "debug",
        "miner",
        "personal"
      ],
      "ourFlags": "cache|rpc|rpc\\.enabledeprecatedpersonal|rpc(addr|port|api|corsdomain|vhosts)|blobpool\\.datadir|pprof\\.addr|pprofaddr|txpool\\.(pricelimit|nolocals|locals)|(config|datadir|raftlogdir|keystore|nodekey|nodekeyhex|ipcpath|ipcdisable|usb|nousb|signer|unlock|password|port|nat|bootnodes|nodiscover|v5disc|discovery|netrestrict|maxpeers|maxpendpeers|permissioned|qlight|networkid|mainnet|goerli|sepolia|holesky|rinkeby|ropsten|yolov3|dev|override|syncmode|gcmode|synctarget|exitwhensynced|mine|miner|gpo|istanbul|raft[a-z]*|fakepow|catalyst|http|ws|authrpc|allow-insecure-unlock|verbosity|ptm|help|version)(\\..*)?",
      "state": "archive",
      "gasLimit": 30000000,
      "freeGas": false,
      "ports": {}
    }
  },
  "goquorum": {
    "all": "qbft ibft raft clique",
    "unmarked": "qbft",
    "qbft": {
      "version": "24.4.1",
      "privateTransactions": true,
      "apiModules": [
        "eth",
        "net",
        "web3",
        "txpool",
        "admin",
        "clique",
        "debug",
        "miner",
        "personal",
        "istanbul",
        "raft",
        "quorumPermission",
        "quorumExtension"
      ],
      "ourFlags": "cache|rpc|rpc\\.enabledeprecatedpersonal|rpc(addr|port|api|corsdomain|vhosts)|blobpool\\.datadir|pprof\\.addr|pprofaddr|txpool\\.(pricelimit|nolocals|locals)|(config|datadir|raftlogdir|keystore|nodekey|nodekeyhex|ipcpath|ipcdisable|usb|nousb|signer|unlock|password|port|nat|bootnodes|nodiscover|v5disc|discovery|netrestrict|maxpeers|maxpendpeers|permissioned|qlight|networkid|mainnet|goerli|sepolia|holesky|rinkeby|ropsten|yolov3|dev|override|syncmode|gcmode|synctarget|exitwhensynced|mine|miner|gpo|istanbul|raft[a-z]*|fakepow|catalyst|http|ws|authrpc|allow-insecure-unlock|verbosity|ptm|help|version)(\\..*)?",
      "state": "archive",
      "gasLimit": 30000000,
      "freeGas": false,
      "ports": {}
    },
    "ibft": {
      "version": "24.4.1",
      "privateTransactions": true,
      "apiModules": [
        "eth",
        "net",
        "web3",
        "txpool",
        "admin",
        "clique",
        "debug",
        "miner",
        "personal",
        "istanbul",
        "raft",
        "quorumPermission",
        "quorumExtension"
      ],
      "ourFlags": "cache|rpc|rpc\\.enabledeprecatedpersonal|rpc(addr|port|api|corsdomain|vhosts)|blobpool\\.datadir|pprof\\.addr|pprofaddr|txpool\\.(pricelimit|nolocals|locals)|(config|datadir|raftlogdir|keystore|nodekey|nodekeyhex|ipcpath|ipcdisable|usb|nousb|signer|unlock|password|port|nat|bootnodes|nodiscover|v5disc|discovery|netrestrict|maxpeers|maxpendpeers|permissioned|qlight|networkid|mainnet|goerli|sepolia|holesky|rinkeby|ropsten|yolov3|dev|override|syncmode|gcmode|synctarget|exitwhensynced|mine|miner|gpo|istanbul|raft[a-z]*|fakepow|catalyst|http|ws|authrpc|allow-insecure-unlock|verbosity|ptm|help|version)(\\..*)?",
      "state": "archive",
      "gasLimit": 30000000,
      "freeGas": false,
      "ports": {}
    },
    "raft": {
      "version": "24.4.1",
      "privateTransactions": true,
      "apiModules": [
        "eth",
        "net",
        "web3",
        "txpool",
        "admin",
        "clique",
        "debug",
        "miner",
        "personal",
        "istanbul",
        "raft",
        "quorumPermission",
        "quorumExtension"
      ],
      "ourFlags": "cache|rpc|rpc\\.enabledeprecatedpersonal|rpc(addr|port|api|corsdomain|vhosts)|blobpool\\.datadir|pprof\\.addr|pprofaddr|txpool\\.(pricelimit|nolocals|locals)|(config|datadir|raftlogdir|keystore|nodekey|nodekeyhex|ipcpath|ipcdisable|usb|nousb|signer|unlock|password|port|nat|bootnodes|nodiscover|v5disc|discovery|netrestrict|maxpeers|maxpendpeers|permissioned|qlight|networkid|mainnet|goerli|sepolia|holesky|rinkeby|ropsten|yolov3|dev|override|syncmode|gcmode|synctarget|exitwhensynced|mine|miner|gpo|istanbul|raft[a-z]*|fakepow|catalyst|http|ws|authrpc|allow-insecure-unlock|verbosity|ptm|help|version)(\\..*)?",
      "state": "archive",
      "gasLimit": 30000000,
      "freeGas": false,
      "ports": {
        "raft": 50400
      }
    },
    "clique": {
      "version": "24.4.1",
      "privateTransactions": true,
      "apiModules": [
        "eth",
        "net",
        "web3",
        "txpool",
        "admin",
        "clique",
        "debug",
        "miner",
        "personal",
        "istanbul",
        "raft",
        "quorumPermission",
        "quorumExtension"
      ],
      "ourFlags": "cache|rpc|rpc\\.enabledeprecatedpersonal|rpc(addr|port|api|corsdomain|vhosts)|blobpool\\.datadir|pprof\\.addr|pprofaddr|txpool\\.(pricelimit|nolocals|locals)|(config|datadir|raftlogdir|keystore|nodekey|nodekeyhex|ipcpath|ipcdisable|usb|nousb|signer|unlock|password|port|nat|bootnodes|nodiscover|v5disc|discovery|netrestrict|maxpeers|maxpendpeers|permissioned|qlight|networkid|mainnet|goerli|sepolia|holesky|rinkeby|ropsten|yolov3|dev|override|syncmode|gcmode|synctarget|exitwhensynced|mine|miner|gpo|istanbul|raft[a-z]*|fakepow|catalyst|http|ws|authrpc|allow-insecure-unlock|verbosity|ptm|help|version)(\\..*)?",
      "state": "archive",
      "gasLimit": 30000000,
      "freeGas": false,
      "ports": {}
    }
  }
}
{{- end -}}
