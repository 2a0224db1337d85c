// proto/skbus/v1/*.proto → libs/contracts/gen/skbus.{js,d.ts} (static code, no descriptors at run time).
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const out = `${root}libs/contracts/gen`;
mkdirSync(out, { recursive: true });
const files = readdirSync(`${root}proto/skbus/v1`)
  .filter((f) => f.endsWith('.proto'))
  .sort()
  .map((f) => `proto/skbus/v1/${f}`);
execFileSync(
  process.execPath,
  [
    'node_modules/protobufjs-cli/bin/pbjs',
    '-t',
    'static-module',
    '-w',
    'esm',
    '--dts',
    '--no-create',
    '--no-verify',
    '--no-convert',
    '--no-delimited',
    '--no-service',
    '--no-typeurl',
    '-r',
    'skbus',
    '-p',
    'proto',
    '-o',
    'libs/contracts/gen/skbus.js',
    ...files,
  ],
  { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] },
);
