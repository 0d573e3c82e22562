// One JSON line per diagnostic, {file, line, severity, message}; exit 1 where there is one, 2 where the service itself failed.
import { readFile } from "node:fs/promises";
import { resolve, sep } from "node:path";
import { pathToFileURL } from "node:url";
import { registerLogger, validate } from "@actions/languageservice";
import { TextDocument } from "vscode-languageserver-textdocument";

const SEVERITIES = { 1: "error", 2: "warning", 3: "information", 4: "hint" };

// The service only logs its own failure and then finds nothing: that must not pass for a clean file.
const fail = (message) => {
  console.error(message);
  process.exit(2);
};
registerLogger({ error: fail, warn: fail, info() {}, log() {} });

// Where `$/…` lies: the repository around the file.
const rootOf = (path) => path.slice(0, path.lastIndexOf(`${sep}.github${sep}`));

let found = 0;
for (const file of process.argv.slice(2)) {
  const path = resolve(file);
  const fileProvider = {
    async getFileContent({ path: name }) {
      return { name, content: await readFile(resolve(rootOf(path), name.replace(/^\$\//, "")), "utf8") };
    },
  };
  const document = TextDocument.create(pathToFileURL(path).href, "yaml", 1, await readFile(path, "utf8"));
  for (const { message, range, severity } of await validate(document, { fileProvider })) {
    found += 1;
    console.log(JSON.stringify({ file, line: range.start.line + 1, severity: SEVERITIES[severity ?? 1], message }));
  }
}
process.exitCode = found ? 1 : 0;
