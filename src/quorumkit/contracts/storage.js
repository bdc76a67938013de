// Loaded into the client's console, where it defines `storage`:
//   storage.last()          the newest storage contract on this chain; storage.last().get() reads it
//   storage.at(address)     one by its address
//   storage.deploy(value)   a new one, from the node's own account, once it is in a block
//   storage.set(c, value)   changes one, and waits for the block
// With GoQuorum, `parties` are TM public keys, and both then send a private transaction:
//   storage.deploy(value, parties)     a contract that this node and the parties have, and nobody else
//   storage.set(c, value, parties)     changes it; what `deploy` returned remembers its parties
var storage = (function () {
  var artifact = /*ARTIFACT*/;
  // The console's web3 is older than `stateMutability` and would send a transaction instead of a call.
  artifact.abi.forEach(function (entry) {
    entry.constant = entry.stateMutability === "view" || entry.stateMutability === "pure";
  });
  var factory = eth.contract(artifact.abi);

  var PATIENCE = 60, NUDGE = 3, PAUSE = 0.2; // seconds

  // Waits for the time and not for a block: with raft the next one comes with the next transaction only. Its minter
  // can overlook a transaction, too, until another one comes (raft/minter.go, commitTransactions).
  function mined(hash) {
    var began = Date.now(), nudged = false;
    for (;;) {
      var receipt = eth.getTransactionReceipt(hash);
      if (receipt !== null) return receipt;
      var seconds = (Date.now() - began) / 1000;
      if (seconds > PATIENCE) {
        throw new Error("in no block after " + PATIENCE + " s; blocks may have stopped, see `quorumkit status`: " + hash);
      }
      if (typeof raft !== "undefined" && !nudged && seconds > NUDGE) {
        nudged = true;
        eth.sendTransaction({ from: own(), to: own(), gas: 21000 });
      }
      admin.sleep(PAUSE);
    }
  }

  function number(value) {
    if (typeof value === "number" || typeof value === "string" || (value && typeof value.toFixed === "function")) {
      return value;
    }
    throw new Error("the value is a number, not " + JSON.stringify(value));
  }

  // Whatever is given as parties and is no list of them is refused, null too: sent without it, what was meant for a few
  // would stand on the chain for all.
  function check(parties) {
    if (web3.version.node.indexOf("quorum") < 0) throw new Error("this client has no private transactions");
    if (!Array.isArray(parties) || parties.length === 0) {
      throw new Error('the parties are a list of TM public keys: ["KEY", …]');
    }
    parties.forEach(function (key) {
      if (typeof key !== "string" || !/^[A-Za-z0-9+\/]{43}=$/.test(key)) {
        throw new Error("not a TM public key (32 bytes in base64): " + JSON.stringify(key));
      }
    });
    return parties;
  }

  function send(transaction, parties) {
    if (parties) transaction.privateFor = parties;
    transaction.from = own();
    var receipt = mined(eth.sendTransaction(transaction));
    if (parseInt(receipt.status) !== 1) throw new Error("it failed in its block: " + receipt.transactionHash);
    return receipt;
  }

  function refuseMore(arguments_, most, usage) {
    if (arguments_.length > most) throw new Error("usage: " + usage);
  }

  // The node's own account is the one that the client can sign with; others may have keystores beside it.
  function own() {
    var accounts = eth.accounts;
    for (var i = 0; accounts.length > 1 && i < accounts.length; i++) {
      try {
        eth.sign(accounts[i], "0x00");
        return accounts[i];
      } catch (locked) {}
    }
    return accounts[0];
  }

  return {
    abi: artifact.abi,
    at: function (address) {
      return factory.at(address);
    },
    last: function (depth) {
      var lowest = Math.max(0, eth.blockNumber - (depth || 5000));
      for (var number = eth.blockNumber; number >= lowest; number--) {
        if (eth.getBlockTransactionCount(number) === 0) continue;
        var transactions = eth.getBlock(number, true).transactions;
        for (var i = transactions.length - 1; i >= 0; i--) {
          if (transactions[i].to === null && transactions[i].input.indexOf(artifact.bytecode) === 0) {
            return factory.at(eth.getTransactionReceipt(transactions[i].hash).contractAddress);
          }
        }
      }
      throw new Error("no storage contract in the last blocks: make one with storage.deploy(42)");
    },
    deploy: function (value, parties) {
      refuseMore(arguments, 2, "storage.deploy(value) or storage.deploy(value, [parties])");
      if (arguments.length > 1) check(parties);
      var data = factory.new.getData(number(value === undefined ? 0 : value), { data: artifact.bytecode });
      var contract = factory.at(send({ data: data, gas: 300000 }, parties).contractAddress);
      if (parties) contract.parties = parties;
      return contract;
    },
    set: function (contract, value, parties) {
      refuseMore(arguments, 3, "storage.set(contract, value) or storage.set(contract, value, [parties])");
      parties = arguments.length > 2 ? check(parties) : contract.parties;
      var data = contract.set.getData(number(value));
      return send({ to: contract.address, data: data, gas: 100000 }, parties).blockNumber;
    },
  };
})();
