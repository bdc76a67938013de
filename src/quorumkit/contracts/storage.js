// Loaded into the client's console, where it defines `storage`:
//   storage.last()          the newest storage contract on this chain; storage.last().get() reads it
//   storage.at(address)     one by its address
//   storage.deploy(value)   a new one, from the node's own account, once it is in a block
//   storage.set(c, value)   changes one, and waits for the block
var storage = (function () {
  var artifact = /*ARTIFACT*/;
  // The console's web3 is older than `stateMutability` and would send a transaction instead of a call.
  artifact.abi.forEach(function (entry) {
    entry.constant = entry.stateMutability === "view" || entry.stateMutability === "pure";
  });
  var factory = eth.contract(artifact.abi);

  function mined(hash) {
    for (var blocks = 0; blocks < 30; blocks++) {
      var receipt = eth.getTransactionReceipt(hash);
      if (receipt !== null) return receipt;
      admin.sleepBlocks(1);
    }
    throw new Error("not in a block after 30 blocks: " + hash);
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
    deploy: function (value) {
      var data = factory.new.getData(value || 0, { data: artifact.bytecode });
      var hash = eth.sendTransaction({ from: own(), data: data, gas: 300000 });
      return factory.at(mined(hash).contractAddress);
    },
    set: function (contract, value) {
      return mined(contract.set(value, { from: own(), gas: 100000 })).blockNumber;
    },
  };
})();
