// Names on standard input, NUL-separated -> those that are neither a script nor a module, likewise. Nothing of them runs.
import { readFileSync } from "node:fs";
import vm from "node:vm";

const parses = (source, module) => {
  try {
    if (module) new vm.SourceTextModule(source);
    else vm.compileFunction(source, ["exports", "require", "module", "__filename", "__dirname"]);
    return true;
  } catch {
    return false;
  }
};
const names = readFileSync(0, "utf8").split("\0").filter(Boolean);
const refused = names.filter((name) => {
  const source = readFileSync(name, "utf8").replace(/^\uFEFF/, "").replace(/^#!.*/, "");
  const module = /^\s*(?:import|export)\b/m.test(source) || name.endsWith(".mjs");
  return !parses(source, module) && !parses(source, !module);
});
process.stdout.write(refused.join("\0"));
