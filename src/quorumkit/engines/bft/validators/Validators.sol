// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// The validators of a network, and the rules by which they change. It stands in the genesis block, has no owner, holds
/// no ether and cannot be replaced.
///
/// A validator is an account, which votes here, and an ed25519 key, by which its node signs blocks. Validators vote on
/// what the key of an account shall be: the account of a newcomer gets its first one, another key replaces the one that
/// a validator has, and none (0) removes it. What more than half of the current validators want is done at once, in the
/// transaction of the last vote that it takes.
contract Validators {
    /// The voting power of each validator. Consensus counts power; here all have the same.
    uint64 public constant POWER = 1;
    /// More validators are not admitted: to count the votes of all must fit into one transaction (EIP-7825).
    uint256 public constant LARGEST = 100;
    /// A set that has reached this size stays there: with fewer than 4 validators none may fail (4 = 3 * 1 + 1).
    uint256 public constant SAFE = 4;
    /// How long a vote counts, in seconds.
    uint48 public constant VOTE_LASTS = 7 days;
    /// How many votes of one validator may stand at once.
    uint256 public constant VOTES_EACH = 16;
    /// What a vote must bring, and what more for each validator, so that it can also make the change: a client that
    /// estimates the gas of a vote does not know whether others will have voted before it is its turn.
    uint256 private constant GAS = 500_000;
    uint256 private constant GAS_EACH = 50_000;

    struct Validator {
        address account;
        bytes32 key;
    }

    struct Vote {
        address voter;
        address account;
        bytes32 key;
        uint256 until;
    }

    struct Entry {
        bytes32 key;
        /// In `accounts`, counted from 1; 0: it is no validator.
        uint32 position;
        /// The number of the last change of this account.
        uint48 changed;
    }

    struct Ballot {
        address account;
        /// The time, in seconds of the chain, from which it counts no more.
        uint48 until;
        /// How many changes there had been. It is void if its voter or its account was changed after it: what was meant
        /// for another situation decides nothing.
        uint48 made;
        bytes32 key;
    }

    /// Of the current validators, in no order that means anything.
    address[] private accounts;
    mapping(address account => Entry) private entries;
    /// The account of each key in use.
    mapping(bytes32 key => address) private owners;
    mapping(address voter => Ballot[]) private ballots;
    /// How many changes there have been, and the block of the last one.
    uint48 private changes;
    uint64 private changedIn;

    /// A key has that power from now on: 0 takes it out of the set. This is what consensus goes by.
    event ValidatorUpdate(address indexed account, bytes32 indexed key, uint64 power);
    event Voted(address indexed voter, address indexed account, bytes32 key, uint256 until);
    event VoteWithdrawn(address indexed voter, address indexed account);

    error NotEnoughGas(uint256 needed);
    error NotAValidator(address account);
    error NoAccount();
    error KeyInUse(address by);
    error SameKey();
    error TooManyValidators();
    error TooFewValidators();
    error TooManyVotes();
    error NoSuchVote();

    /// Votes that the key of `account` shall be `key`, 0 for none. It replaces what the sender voted about that account
    /// before; the same again renews it. There is one change a block: a vote that comes in a block that has seen one
    /// counts, and the change is made by the next vote for it, which may be the same one again.
    function vote(address account, bytes32 key) external {
        uint256 gas = GAS + GAS_EACH * accounts.length;
        if (gasleft() < gas) revert NotEnoughGas(gas);
        if (entries[msg.sender].position == 0) revert NotAValidator(msg.sender);
        requirePossible(account, key);
        forget(msg.sender, account);
        Ballot[] storage own = ballots[msg.sender];
        if (own.length == VOTES_EACH) revert TooManyVotes();
        uint48 until = uint48(block.timestamp) + VOTE_LASTS;
        own.push(Ballot(account, until, changes, key));
        emit Voted(msg.sender, account, key, until);
        // Consensus takes one update of a key a block, and who follows the set from block to block must know more than
        // a third of each.
        if (votesFor(account, key) >= threshold() && block.number > changedIn) change(account, key);
    }

    /// Takes back the sender's vote about `account`.
    function withdraw(address account) external {
        if (!forget(msg.sender, account)) revert NoSuchVote();
        emit VoteWithdrawn(msg.sender, account);
    }

    /// The current validators.
    function validators() external view returns (Validator[] memory list) {
        list = new Validator[](accounts.length);
        for (uint256 i = 0; i < list.length; i++) list[i] = Validator(accounts[i], entries[accounts[i]].key);
    }

    /// How many there are.
    function count() external view returns (uint256) {
        return accounts.length;
    }

    /// How many votes a change takes: more than half of the current validators.
    function threshold() public view returns (uint256) {
        return accounts.length / 2 + 1;
    }

    /// The key of a validator; 0: the account is none.
    function keyOf(address account) external view returns (bytes32) {
        return entries[account].key;
    }

    /// The account of the validator that has that key; 0: none has.
    function accountOf(bytes32 key) external view returns (address) {
        return owners[key];
    }

    /// The votes that count now.
    function votes() external view returns (Vote[] memory list) {
        list = new Vote[](accounts.length * VOTES_EACH);
        uint256 found = 0;
        for (uint256 i = 0; i < accounts.length; i++) {
            Ballot[] storage cast = ballots[accounts[i]];
            for (uint256 j = 0; j < cast.length; j++) {
                if (counts(accounts[i], cast[j]))
                    list[found++] = Vote(accounts[i], cast[j].account, cast[j].key, cast[j].until);
            }
        }
        assembly ("memory-safe") {
            mstore(list, found) // the rest of it is left unused
        }
    }

    /// How many current validators want the key of `account` to be `key`. Those who have been removed do not count.
    function votesFor(address account, bytes32 key) public view returns (uint256 found) {
        for (uint256 i = 0; i < accounts.length; i++) {
            Ballot[] storage cast = ballots[accounts[i]];
            for (uint256 j = 0; j < cast.length; j++) {
                if (cast[j].account == account && cast[j].key == key && counts(accounts[i], cast[j])) found++;
            }
        }
    }

    function requirePossible(address account, bytes32 key) private view {
        if (account == address(0)) revert NoAccount();
        Entry storage entry = entries[account];
        if (key == 0) {
            if (entry.position == 0) revert NotAValidator(account);
            if (accounts.length == 1 || accounts.length == SAFE) revert TooFewValidators();
        } else if (entry.position == 0) {
            if (owners[key] != address(0)) revert KeyInUse(owners[key]);
            if (accounts.length >= LARGEST) revert TooManyValidators();
        } else {
            if (entry.key == key) revert SameKey();
            if (owners[key] != address(0)) revert KeyInUse(owners[key]);
            // No one would be left whom those who follow the chain know.
            if (accounts.length == 1) revert TooFewValidators();
        }
    }

    function counts(address voter, Ballot storage ballot) private view returns (bool) {
        return
            block.timestamp < ballot.until &&
            ballot.made >= entries[voter].changed &&
            ballot.made >= entries[ballot.account].changed;
    }

    /// Deletes a voter's ballot about `account`, if there is one, and those that count no more. Whether there was one
    /// that counted.
    function forget(address voter, address account) private returns (bool stood) {
        Ballot[] storage own = ballots[voter];
        uint256 i = own.length;
        while (i > 0) {
            i--;
            bool valid = counts(voter, own[i]);
            if (valid && own[i].account != account) continue;
            if (valid) stood = true;
            if (i != own.length - 1) own[i] = own[own.length - 1];
            own.pop();
        }
    }

    function change(address account, bytes32 key) private {
        Entry storage entry = entries[account];
        entry.changed = ++changes;
        changedIn = uint64(block.number);
        bytes32 old = entry.key;
        if (old != 0) {
            delete owners[old];
            emit ValidatorUpdate(account, old, 0);
        }
        entry.key = key;
        if (key == 0) {
            uint32 position = entry.position;
            address last = accounts[accounts.length - 1];
            accounts[position - 1] = last;
            entries[last].position = position;
            accounts.pop();
            entry.position = 0;
        } else {
            owners[key] = account;
            if (entry.position == 0) {
                accounts.push(account);
                entry.position = uint32(accounts.length);
            }
            emit ValidatorUpdate(account, key, POWER);
        }
    }
}
