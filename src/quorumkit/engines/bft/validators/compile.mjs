// Makes Validators.json (ABI, code, storage layout and what shows where they come from) from Validators.sol:
//   npx --yes --package solc@0.8.37 -- node compile.mjs [OUTPUT]
// `cancun` is the oldest instruction set that the engine's chains may begin with.
import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";

// npx puts the package's .bin folder on PATH; the package lies beside it.
const bin = process.env.PATH.split(delimiter).find((folder) => folder.endsWith(join("node_modules", ".bin")));
const solc = createRequire(join(dirname(bin), "solc", "index.js"))("solc");
const here = import.meta.dirname;
const input = {
  language: "Solidity",
  sources: { "Validators.sol": { content: readFileSync(join(here, "Validators.sol"), "utf8") } },
  settings: {
    evmVersion: "cancun",
    optimizer: { enabled: true, runs: 200 },
    outputSelection: {
      "*": { "*": ["abi", "metadata", "storageLayout", "evm.deployedBytecode.object", "evm.methodIdentifiers"] },
    },
  },
};
const output = JSON.parse(solc.compile(JSON.stringify(input)));
for (const problem of output.errors ?? []) console.error(problem.formattedMessage);
if (output.errors?.some((problem) => problem.severity === "error")) process.exit(1);
const { abi, evm, metadata, storageLayout } = output.contracts["Validators.sol"].Validators;
const artifact = {
  contract: "Validators",
  compiler: solc.version(),
  settings: { evmVersion: input.settings.evmVersion, optimizer: input.settings.optimizer },
  abi,
  selectors: Object.fromEntries(Object.entries(evm.methodIdentifiers).map(([name, hash]) => [name, "0x" + hash])),
  // Where each state variable lies. The numbers in the names of types are the compiler's own.
  storage: Object.fromEntries(
    storageLayout.storage.map(({ label, slot, offset, type }) => [label, { slot: Number(slot), offset, type: storageLayout.types[type].label }]),
  ),
  members: Object.fromEntries(
    Object.values(storageLayout.types)
      .filter((type) => type.members)
      .map((type) => [type.label, Object.fromEntries(type.members.map(({ label, slot, offset }) => [label, { slot: Number(slot), offset }]))]),
  ),
  deployedBytecode: "0x" + evm.deployedBytecode.object,
  // As the compiler wrote it, for its hash (IPFS) ends the code; it has the Keccak-256 hash of the source.
  metadata,
};
writeFileSync(process.argv[2] ?? join(here, "Validators.json"), JSON.stringify(artifact, null, 2) + "\n");
