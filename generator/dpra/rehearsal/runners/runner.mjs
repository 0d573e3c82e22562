// Runs a handler once, as Lambda's Node.js runtimes do: node runner.mjs OUT LIBRARIES DEADLINE; the event on standard input.
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

const [out, , deadline] = process.argv.slice(2);
const { AWS_EXECUTION_ENV, AWS_LAMBDA_FUNCTION_NAME: name, LAMBDA_TASK_ROOT: root, _HANDLER: handler } = process.env;
const callbacks = parseInt(AWS_EXECUTION_ENV.replace("AWS_Lambda_nodejs", "")) < 24; // Node.js 24 took them away

function end(document) {
  writeFileSync(out, JSON.stringify(document));
  process.exit();
}

function fail(error) {
  const { name, message, stack } = error instanceof Error ? error : { name: typeof error, message: String(error) };
  end({ error: { errorType: name, errorMessage: message, trace: stack?.split("\n") ?? [] } });
}

function problem(name, message) {
  return Object.assign(new Error(message), { name });
}

async function load() {
  const [, module, path] = /^([^.]*)\.(.+)$/.exec(basename(handler)) ?? [];
  if (!module) throw problem("Runtime.MalformedHandlerName", `Bad handler: ${handler}`);
  const file = ["", ".js", ".mjs", ".cjs"]
    .map((extension) => join(root, dirname(handler), module + extension))
    .find((path) => statSync(path, { throwIfNoEntry: false })?.isFile());
  if (!file) throw problem("Runtime.ImportModuleError", `Cannot find module '${module}'`);
  const found = await import(pathToFileURL(file)).catch((error) => {
    if (error.code === "MODULE_NOT_FOUND") throw problem("Runtime.ImportModuleError", error.message);
    if (error instanceof SyntaxError) throw problem("Runtime.UserCodeSyntaxError", error.message);
    throw error;
  });
  const at = (place) => path.split(".").reduce((value, key) => value?.[key], place);
  const made = at(found) ?? at(found.default);
  if (typeof made !== "function") {
    throw problem("Runtime.HandlerNotFound", `${handler} is undefined or not exported`);
  }
  if (made.length >= 3 && !callbacks) {
    throw problem("Runtime.CallbackHandlerDeprecated", `${handler} takes a callback: from Node.js 24 on there are none`);
  }
  return made;
}

const context = {
  callbackWaitsForEmptyEventLoop: true,
  functionName: name,
  functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
  invokedFunctionArn: name,
  awsRequestId: name,
  logGroupName: name,
  logStreamName: name,
  memoryLimitInMB: "128",
  getRemainingTimeInMillis: () => deadline - Date.now(),
};

/** What is answered, if nothing else happens until the event loop is empty. */
let last = () => end({ result: null });

function callback(error, result) {
  last = () => (error == null ? end({ result: result ?? null }) : fail(error));
  if (!context.callbackWaitsForEmptyEventLoop) last();
}

process.on("uncaughtException", fail);
process.on("beforeExit", () => last());
const event = JSON.parse(readFileSync(0, "utf8"));
const run = await load();
if (callbacks) {
  Object.assign(context, { done: callback, succeed: (result) => callback(null, result), fail: (error) => callback(error) });
  const promise = run(event, context, callback);
  if (typeof promise?.then === "function") {
    last = () => fail(problem("Runtime.NodejsExit", "The handler ended without an answer"));
    end({ result: (await promise) ?? null });
  }
} else {
  last = () => fail(problem("Runtime.NodejsExit", "The handler ended without an answer"));
  end({ result: (await run(event, context)) ?? null });
}
