import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { transformSync } from '@swc/core';
import * as client from 'toxiproxy-node-client';
import { ProxyCollection } from './collection.ts';
import { serveToxiproxy, type ToxiproxyServer } from './server.ts';
import { realWorld } from './world.ts';

// The examples of the client's README as they stand there, cut out of the installed package. They talk to localhost:8474; a
// test cannot count on that port, so fetch() takes them to where the API is.

const main = createRequire(import.meta.url).resolve('toxiproxy-node-client');
const readme = readFileSync(join(dirname(main), '../README.md'), 'utf8');
const EXAMPLE_API = 'http://localhost:8474';

let server: ToxiproxyServer;
const realFetch = globalThis.fetch;

beforeEach(async () => {
  const world = realWorld({ door: undefined as never, addresses: [] });
  server = await serveToxiproxy(new ProxyCollection(world, undefined), 0, '127.0.0.1');
  globalThis.fetch = (url, init) => realFetch((url as string).replace(EXAMPLE_API, server.url), init);
});

afterEach(async () => {
  globalThis.fetch = realFetch;
  await server.close();
});

function example(language: string): string {
  const code = new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``).exec(readme)?.[1];
  if (code === undefined) throw new Error(`the README has no example in ${language}`);
  return code;
}

/** Runs it as the body of a function, whose `import`s are `require`s. */
function run(code: string): Promise<client.Toxic<client.Bandwidth>> {
  const AsyncFunction = (async () => {}).constructor as new (...args: string[]) => (require: unknown) => Promise<never>;
  return new AsyncFunction('require', `${code}\nreturn toxic;`)((name: string) => {
    expect(name).toBe('toxiproxy-node-client');
    return client;
  });
}

const javaScript = (code: string): string =>
  transformSync(code, {
    jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
    module: { type: 'es6' },
    swcrc: false,
  }).code.replace(/^import (\{.*\}) from (".*");$/gm, 'const $1 = require($2);');

test.each([
  ['js', (code: string) => code],
  ['typescript', javaScript],
])('the example in %s', async (language, prepared) => {
  const toxic = await run(prepared(example(language)));
  expect(toxic.toJson()).toMatchObject({ name: 'bandwidth_downstream', type: 'bandwidth', attributes: { rate: 1000 } });
  const redis = await new client.Toxiproxy(server.url).get('redis');
  expect(redis).toMatchObject({ upstream: 'redis:6379', enabled: true });
});
