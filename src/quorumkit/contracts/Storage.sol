// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

/// One integer, in slot 0: the contract by which a network is verified.
contract Storage {
    uint256 private value;

    event Stored(address indexed by, uint256 value);

    constructor(uint256 initial) {
        value = initial;
    }

    function set(uint256 newValue) external {
        value = newValue;
        emit Stored(msg.sender, newValue);
    }

    function get() external view returns (uint256) {
        return value;
    }
}
