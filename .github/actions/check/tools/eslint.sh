#!/usr/bin/env bash
# JavaScript and TypeScript, JSX too: ESLint's and typescript-eslint's recommended rules; those of taste are low.
# default for code-quality: node cdk
# version: 10.15.0
# version-command: none; the rules come along
# ok-exit-codes: 0
# npm: eslint@10.15.0 @eslint/js@10.0.1 globals@17.14.0 typescript-eslint@8.73.0 typescript@6.0.3
#
# A project's own eslint.config.* is code: what judges does not run it (the build job may, as a step of its own), and so
# nothing in it, in comments or in .eslintignore takes effect here. .eslintrc.* and eslintConfig of package.json, which
# ESLint 10 passes over without a word, are findings. Each file is given by its name and must be in the report.
#
# It reads besides: nothing. The configuration is in this file, node and its packages are not the repository's,
# NODE_OPTIONS, NODE_PATH and ESLINT_* are not passed, and no tsconfig.json is asked: the rules need no types. Not looked
# at: single-file components (.vue, .svelte, .astro).
set -euo pipefail
python3 -I -B "$CHECK/files.py" node > "$TMPDIR/files"
cat > "$TMPDIR/lint.mjs" <<'NODE'
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { extname, join } from "node:path";
import { pathToFileURL } from "node:url";

const { TARGET, TMPDIR, TOOL_HOME } = process.env;
const { resolve } = createRequire(join(TOOL_HOME, "lint.js"));
const load = async (name) => { const all = await import(pathToFileURL(resolve(name))); return all.default ?? all; };
const { ESLint } = await load("eslint");
const [js, ts, globals] = await Promise.all(["@eslint/js", "typescript-eslint", "globals"].map(load));
const known = [".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx"];
const all = known.map((end) => `**/*${end}`), typed = all.slice(4);
const unused = ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^(_|React$)", caughtErrors: "none" }];
const { node, nodeBuiltin, browser, worker, serviceworker, jest, mocha, vitest } = globals;
const common = {
  languageOptions: {
    globals: { ...browser, ...worker, ...serviceworker, ...nodeBuiltin, ...node, ...jest, ...mocha, ...vitest },
    parserOptions: { ecmaFeatures: { jsx: true } },
  },
  linterOptions: { reportUnusedDisableDirectives: "off" },
};
const rules = [
  { files: all, ...js.configs.recommended },
  { files: all, rules: { "no-unused-vars": unused } },
  ...ts.configs.recommended.map((one) => ({ ...one, files: typed })),
  { files: typed, rules: { "no-unused-vars": "off", "@typescript-eslint/no-unused-vars": unused } },
  common,
];
// What a project may well want: no mistake.
const taste = new Set(["ban-ts-comment", "no-empty-object-type", "no-explicit-any", "no-namespace",
  "no-require-imports", "no-this-alias", "no-unused-expressions", "prefer-as-const", "triple-slash-reference",
  "no-unsafe-function-type", "no-wrapper-object-types"].map((name) => `@typescript-eslint/${name}`)
  .concat("prefer-const", "prefer-rest-params", "prefer-spread", "no-var"));
const engine = (more) => new ESLint({ cwd: TARGET, overrideConfigFile: true, overrideConfig: [...rules, ...more],
  allowInlineConfig: false, ignore: false, errorOnUnmatchedPattern: false });
const modules = engine([]);
const scripts = engine([{ files: ["**/*.js"], languageOptions: { sourceType: "commonjs" } }]);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
for (const name of readFileSync(join(TMPDIR, "files"), "utf8").split("\0").filter(Boolean)) {
  let text;
  try {
    text = readFileSync(join(TARGET, name), "utf8").replace(/^\uFEFF/, "");
  } catch {
    continue; // not-checked, then
  }
  const end = extname(name).toLowerCase();
  const filePath = join(TARGET, known.includes(end) ? name.slice(0, -end.length) + end : `${name}.js`);
  const lint = async (eslint) => (await eslint.lintText(text, { filePath, warnIgnored: true }))[0];
  let result = await lint(modules);
  if (result?.messages.some((one) => one.fatal) && filePath.endsWith(".js")) {
    const again = await lint(scripts); // it may be a script of CommonJS
    if (!again.messages.some((one) => one.fatal)) result = again;
  }
  if (!result || result.messages.some((one) => !one.ruleId && !one.fatal)) continue;
  say({ looked: name });
  for (const { fatal, ruleId, message, line } of result.messages) {
    const severity = taste.has(ruleId) ? "low" : "high";
    say({ rule: fatal ? "not-parsed" : ruleId, severity, text: message, file: name, line });
  }
}
NODE
node "$TMPDIR/lint.mjs" > "$TMPDIR/found.jsonl"
python3 -I -B - "$TMPDIR/found.jsonl" <<'PYTHON' | python3 -I -B "$CHECK/sarif.py" eslint "$TMPDIR/files"
import json, os, sys

print(open(sys.argv[1], encoding="utf-8").read())
text = "ESLint 10 does not read it: npx @eslint/migrate-config {} makes an eslint.config.mjs of it, for a step of the build"
for folder, folders, names in os.walk(os.environ["TARGET"]):
    folders[:] = [name for name in folders if name not in (".git", "node_modules", "cdk.out")]
    for name in names:
        file = os.path.join(folder, name)
        old = name == ".eslintrc" or name.startswith(".eslintrc.")
        if name == "package.json":
            try:
                old = "eslintConfig" in json.loads(open(file, "rb").read())
            except (ValueError, TypeError, OSError):
                old = False
        if old:
            print(json.dumps({"rule": "eslintrc", "severity": "high", "text": text.format(name), "file": file}))
PYTHON
