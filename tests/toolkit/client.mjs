// GitHub's clients, a call at a time: node client.mjs CALL [JSON ARGUMENTS]; prints {answer} or {error} as the last line.
// As an action (its folder's name says which), what actions/upload-artifact and actions/download-artifact do at their core.
import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { DefaultArtifactClient } from "@actions/artifact";
import { restoreCache, saveCache } from "@actions/cache";

const artifacts = new DefaultArtifactClient();
const input = (name) => process.env[`INPUT_${name.toUpperCase()}`] ?? "";
const below = (folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((found) => found.isFile())
    .map((found) => join(found.parentPath ?? found.path, found.name));

const calls = {
  upload: (name, files, root, options = {}) => artifacts.uploadArtifact(name, files, root, options),
  list: (options = {}) => artifacts.listArtifacts(options),
  get: (name) => artifacts.getArtifact(name),
  download: (id, options) => artifacts.downloadArtifact(id, options),
  delete: (name) => artifacts.deleteArtifact(name),
  save: (paths, key) => saveCache(paths, key),
  restore: async (paths, key, others = []) => (await restoreCache(paths, key, others)) ?? null,
  "upload-artifact": async () => {
    const root = resolve(input("path"));
    const { digest } = await artifacts.uploadArtifact(input("name"), below(root), root);
    return digest;
  },
  "download-artifact": async () => {
    const { artifact } = await artifacts.getArtifact(input("name"));
    const path = resolve(input("path"));
    const { digestMismatch } = await artifacts.downloadArtifact(artifact.id, { path, expectedHash: artifact.digest });
    if (digestMismatch) throw new Error("digest mismatch");
    return path;
  },
};

const [call = process.env.INPUT_CALL, said = "[]"] = process.argv.slice(2);
let last;
try {
  last = { answer: (await calls[call](...JSON.parse(said))) ?? null };
} catch (error) {
  last = { error: error.message };
  process.exitCode = 1;
}
console.log(`\n${JSON.stringify(last)}`);
