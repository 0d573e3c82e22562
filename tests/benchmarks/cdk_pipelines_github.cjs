// beta, gamma and prod with a stack each, synthesised by cdk-pipelines-github into the current folder.
const { App, Stack, Stage } = require("aws-cdk-lib");
const { ShellStep } = require("aws-cdk-lib/pipelines");
const { Topic } = require("aws-cdk-lib/aws-sns");
const { AwsCredentials, GitHubWorkflow } = require("cdk-pipelines-github");

const app = new App({ outdir: "cdk.out" });
const pipeline = new GitHubWorkflow(app, "Pipeline", {
  synth: new ShellStep("Build", { installCommands: ["npm ci"], commands: ["npm run build", "npm test"] }),
  awsCreds: AwsCredentials.fromOpenIdConnect({ gitHubActionRoleArn: "arn:aws:iam::111111111111:role/dpra" }),
  workflowPath: ".github/workflows/pipeline.yml",
});
const accounts = { beta: "111111111111", gamma: "222222222222", prod: "333333333333" };
for (const [name, account] of Object.entries(accounts)) {
  const stage = new Stage(app, name, { env: { account, region: "eu-west-1" } });
  new Topic(new Stack(stage, "shop"), "Topic");
  const tests = (kind) => new ShellStep(`${name}-${kind}`, { commands: [`npm run ${kind}`] });
  pipeline.addStage(stage, { post: [tests("integration-tests"), tests("acceptance-tests")] });
}
app.synth();
