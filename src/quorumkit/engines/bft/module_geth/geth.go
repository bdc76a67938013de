//go:build pin

// Package geth pins what `geth` is built from; nothing of it is ever run.
package geth

import _ "github.com/ethereum/go-ethereum/cmd/geth"
