// Makes Storage.json (ABI, creation bytecode, function selectors) from Storage.sol:
//   npx --yes --package solc@0.8.28 -- node compile.mjs
// `istanbul` is the newest instruction set that every engine's chains know from block 0.
import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";

// npx puts the package's .bin folder on PATH; the package lies beside it.
const bin = process.env.PATH.split(delimiter).find((folder) => folder.endsWith(join("node_modules", ".bin")));
const solc = createRequire(join(dirname(bin), "solc", "index.js"))("solc");
const here = import.meta.dirname;
const input = {
  language: "Solidity",
  sources: { "Storage.sol": { content: readFileSync(join(here, "Storage.sol"), "utf8") } },
  settings: {
    evmVersion: "istanbul",
    optimizer: { enabled: true, runs: 200 },
    metadata: { bytecodeHash: "none" },
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.methodIdentifiers"] } },
  },
};
const output = JSON.parse(solc.compile(JSON.stringify(input)));
for (const problem of output.errors ?? []) console.error(problem.formattedMessage);
if (output.errors?.some((problem) => problem.severity === "error")) process.exit(1);
const { abi, evm } = output.contracts["Storage.sol"].Storage;
const artifact = {
  contract: "Storage",
  compiler: solc.version(),
  evmVersion: input.settings.evmVersion,
  abi,
  bytecode: "0x" + evm.bytecode.object,
  selectors: Object.fromEntries(Object.entries(evm.methodIdentifiers).map(([name, hash]) => [name, "0x" + hash])),
};
writeFileSync(join(here, "Storage.json"), JSON.stringify(artifact, null, 2) + "\n");
