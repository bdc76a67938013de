//go:build pin

// Package cometbft pins what `cometbft` is built from; nothing of it is ever run.
package cometbft

import _ "github.com/cometbft/cometbft/cmd/cometbft"
