// The same jobs and steps as dpra's pipeline (argv 2: a JSON of job -> step names), synthesised by projen into argv 3.
const { readFileSync } = require("node:fs");
const { Project, github } = require("projen");

const [, , jobsFile, outdir] = process.argv;
const project = new Project({ name: "shop", outdir, commitGenerated: false });
const workflow = new github.GithubWorkflow(new github.GitHub(project, { pullRequestLint: false }), "pipeline");
workflow.on({ push: { branches: ["main"] } });
let before = [];
for (const [job, steps] of Object.entries(JSON.parse(readFileSync(jobsFile, "utf8")))) {
  workflow.addJob(job, {
    runsOn: ["ubuntu-24.04"],
    needs: before,
    permissions: { contents: github.workflows.JobPermission.READ, idToken: github.workflows.JobPermission.WRITE },
    steps: steps.map((name) => ({ name, run: "true", env: { DPRA_ACTION: name } })),
  });
  before = [job];
}
project.synth();
