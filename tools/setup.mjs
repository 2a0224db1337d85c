#!/usr/bin/env node
// Makes a fresh machine ready: node modules, nats-server, generated code, build. What is there already is left alone, so
// that it may run before every start. Needs nothing but Node.
//   --test       also what the tests and benchmarks use: ping, tshark, nmap and the like
//   --no-system  no system packages
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const args = new Set(process.argv.slice(2));
const at = (...p) => join(root, ...p);
const say = (text) => process.stderr.write(`setup: ${text}\n`);

checkNode();
installModules();
if (!args.has('--no-system')) installPackages();
generate();
build();

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  say(`Node ${process.versions.node} is too old: skbus needs 20.19 or later.`);
  process.exit(1);
}

function installModules() {
  const lock = hash(readFileSync(at('package-lock.json')));
  const stamp = at('node_modules/.skbus-lock');
  if (read(stamp) === lock) return;
  const installed = mtime(at('node_modules/.package-lock.json'));
  if (installed === 0 || installed < mtime(at('package-lock.json'))) {
    say('installing node modules');
    npmInstall();
  }
  writeFileSync(stamp, lock);
}

/** As the lock file says. `npm ci` insists on optional packages of every platform, which not every registry carries. */
function npmInstall() {
  const npm = process.env.npm_execpath;
  const [command, first] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []];
  const options = ['--no-audit', '--no-fund', '--loglevel=error'];
  const strict = spawnSync(command, [...first, 'ci', ...options], { cwd: root, stdio: 'ignore' });
  if (strict.status === 0) return;
  run(command, [...first, 'install', '--no-save', ...options], 'npm install failed; is this machine online?');
}

/** nats-server and iproute2, which `skbus up` can do without, and with --test what only tests use. */
function installPackages() {
  const wanted = [
    ['nats-server', 'nats-server'],
    ['ip', 'iproute2'],
  ];
  if (args.has('--test'))
    wanted.push(
      ['ping', 'iputils-ping'],
      ['iperf3', 'iperf3'],
      ['tshark', 'tshark'],
      ['tcpdump', 'tcpdump'],
      ['curl', 'curl'],
      ['nmap', 'nmap'],
      ['hping3', 'hping3'],
      ['ethtool', 'ethtool'],
      ['iptables', 'iptables'],
      ['python3', 'python3'],
      ['ab', 'apache2-utils'],
    );
  const missing = wanted.filter(([program]) => !find(program)).map(([, pkg]) => pkg);
  if (missing.length === 0) return;
  const how = `apt-get install ${missing.join(' ')}`;
  if (!find('apt-get') || process.getuid?.() !== 0) {
    say(
      `missing: ${missing.join(', ')} (as root: ${how})${missing.includes('nats-server') ? '; without nats-server: npm start -- --inproc' : ''}`,
    );
    return;
  }
  say(`installing ${missing.join(', ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...a) =>
    spawnSync('apt-get', ['-q', '-y', ...a], { env, stdio: ['ignore', 'ignore', 'inherit'] }).status === 0;
  // Lists may be stale or absent; an update that fails in part may still be enough.
  apt('update');
  if (apt('install', '--no-install-recommends', ...missing)) return;
  say(`${how} failed${missing.includes('nats-server') ? '; without nats-server: npm start -- --inproc' : ''}`);
}

function generate() {
  const made = mtime(at('libs/contracts/gen/skbus.js'));
  const protos = files(at('proto'), /\.proto$/);
  if (made > 0 && [...protos, at('tools/proto.mjs')].every((f) => mtime(f) <= made)) return;
  say('generating code from proto/');
  run(process.execPath, [at('tools/proto.mjs')], 'the code generator failed');
}

function build() {
  const projects = ['libs', 'apps']
    .flatMap((top) => readdirSync(at(top)).map((name) => `${top}/${name}`))
    .filter((p) => existsSync(at(p, 'tsconfig.json')));
  const stamp = at('node_modules/.skbus-build');
  const state = sourceState(projects);
  const built = projects.every((p) => existsSync(at(p, 'dist/index.js')));
  if (built && read(stamp) === state) return;
  say('building');
  run(process.execPath, [at('node_modules/typescript/bin/tsc'), '-b', ...projects], 'the build failed');
  writeFileSync(stamp, state);
}

/** Changes with every source, without reading one. */
function sourceState(projects) {
  const h = createHash('sha256');
  const add = (f) => {
    const s = statSync(f);
    h.update(`${f} ${s.size} ${s.mtimeMs}\n`);
  };
  for (const p of projects) {
    for (const f of files(at(p, 'src'), /\.tsx?$/)) if (!/\.spec\.ts$|\/testing\//.test(f)) add(f);
    add(at(p, 'package.json'));
    add(at(p, 'tsconfig.json'));
  }
  for (const f of readdirSync(root)) if (/^tsconfig.*\.json$/.test(f)) add(at(f));
  add(at('libs/contracts/gen/skbus.js'));
  return h.digest('hex');
}

function files(dir, wanted) {
  return readdirSync(dir, { withFileTypes: true }).flatMap((e) => {
    const path = join(dir, e.name);
    if (e.isDirectory()) return files(path, wanted);
    return wanted.test(e.name) ? [path] : [];
  });
}

function run(command, argv, failure) {
  const { status, error } = spawnSync(command, argv, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, NX_DAEMON: 'false' },
  });
  if (status === 0) return;
  say(error ? `${failure}: ${error.message}` : failure);
  process.exit(1);
}

function find(program) {
  const dirs = [
    ...(process.env.PATH ?? '').split(delimiter),
    '/usr/sbin',
    '/sbin',
    '/usr/bin',
    '/bin',
    '/usr/local/bin',
    '/usr/local/sbin',
  ];
  return dirs
    .map((d) => join(d, program))
    .find((p) => {
      try {
        accessSync(p, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

function mtime(file) {
  try {
    return statSync(file).mtimeMs;
  } catch {
    return 0;
  }
}

function read(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function hash(data) {
  return createHash('sha256').update(data).digest('hex');
}
