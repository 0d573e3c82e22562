/** What the tests of a deployed stage share: a call of the deployed HTTP API; its status and its answer. */
export async function call(method, path, body) {
  const { ApiUrl } = JSON.parse(process.env.DEPLOYMENT_OUTPUTS);
  const reply = await fetch(ApiUrl + path, {
    method,
    body: body && JSON.stringify(body),
    headers: { "content-type": "application/json" },
    signal: AbortSignal.timeout(20_000),
  });
  return [reply.status, await reply.json()];
}
