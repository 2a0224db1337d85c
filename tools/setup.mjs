// Makes a fresh machine ready: node modules, nats-server and friends, generated code, build. Quick when all is done.
//   --test       also what the tests look at the stack with (ping, tshark, iperf3 …)
//   --no-system  nothing outside this folder
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const flags = new Set(process.argv.slice(2));
const say = (text) => process.stderr.write(`setup: ${text}\n`);

function fail(text) {
  say(text);
  process.exit(1);
}

/** Commands a stack uses → the Debian package that has them. */
const RUN_TOOLS = { 'nats-server': 'nats-server', ip: 'iproute2' };
const TEST_TOOLS = {
  ping: 'iputils-ping', tshark: 'tshark', tcpdump: 'tcpdump', iperf3: 'iperf3', curl: 'curl', ethtool: 'ethtool', ss: 'iproute2', ps: 'procps',
};

checkNode();
installModules();
if (!flags.has('--no-system')) installTools();
generate();
build();

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) fail(`Node ${process.versions.node} is too old; skbus needs 20.19 or newer`);
}

function installModules() {
  const stamp = join(root, 'node_modules/.package-lock.json');
  const lock = join(root, 'package-lock.json');
  if (existsSync(stamp) && statSync(stamp).mtimeMs >= statSync(lock).mtimeMs) return;
  say('installing node modules (npm ci)');
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
  // npm keeps the time of the archive on some files; ours says when this lock file was installed.
  writeFileSync(stamp, readFileSync(stamp));
}

function installTools() {
  const wanted = { ...RUN_TOOLS, ...(flags.has('--test') ? TEST_TOOLS : {}) };
  const missing = Object.keys(wanted).filter((tool) => !onPath(tool));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((t) => wanted[t]))];
  const hint = `apt-get install ${packages.join(' ')}`;
  if (process.getuid?.() !== 0 || !onPath('apt-get')) {
    say(`not found: ${missing.join(', ')}; as root on Debian: ${hint}`);
    if (missing.includes('nats-server')) say('without nats-server: npm start -- --inproc (every layer in one process)');
    return;
  }
  say(`installing ${packages.join(', ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...args) => spawnSync('apt-get', ['-q', '-y', '-o', 'DPkg::Lock::Timeout=300', ...args], { env, encoding: 'utf8' });
  apt('update');
  const r = apt('install', '--no-install-recommends', ...packages);
  if (r.status !== 0) say(`${hint} failed: ${(r.stderr || r.stdout || String(r.error)).trim().split('\n').at(-1)}`);
}

function generate() {
  const out = join(root, 'libs/contracts/gen/skbus.js');
  const made = existsSync(out) ? statSync(out).mtimeMs : 0;
  if (newest('proto', /\.proto$/) <= made && statSync(join(root, 'tools/proto.mjs')).mtimeMs <= made) return;
  say('generating code from proto/');
  run(process.execPath, ['tools/proto.mjs']);
}

function build() {
  const stamp = join(root, '.nx/built');
  const sources = Math.max(newest('libs', /\.(ts|tsx|json|js)$/), newest('apps', /\.(ts|tsx|json)$/), statSync(join(root, 'tsconfig.base.json')).mtimeMs);
  if (existsSync(stamp) && statSync(stamp).mtimeMs > sources && existsSync(join(root, 'apps/cli/dist/main.js'))) return;
  say('building');
  // Nx knows the order and what is built already; without its daemon nothing stays behind.
  run(process.execPath, ['node_modules/nx/dist/bin/nx.js', 'run-many', '-t', 'build', '--outputStyle=static', '--parallel=2'], { NX_DAEMON: 'false', NX_NO_CLOUD: 'true', CI: 'true' });
  mkdirSync(join(root, '.nx'), { recursive: true });
  writeFileSync(stamp, '');
}

/** Runs quietly; what it said is shown when it fails. */
function run(command, args, env = {}) {
  try {
    execFileSync(command, args, { cwd: root, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 64 << 20 });
  } catch (e) {
    process.stderr.write(`${e.stdout ?? ''}${e.stderr ?? ''}`);
    fail(`${command} ${args.slice(0, 2).join(' ')} failed: ${e.status === undefined ? e.message : `exit code ${e.status}`}`);
  }
}

function onPath(tool) {
  const dirs = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return dirs.some((d) => d !== '' && existsSync(join(d, tool)));
}

/** The newest modification below a folder, build output aside. */
function newest(dir, wanted) {
  let latest = 0;
  for (const e of readdirSync(join(root, dir), { withFileTypes: true })) {
    if (e.name === 'node_modules' || e.name === 'dist') continue;
    const path = join(dir, e.name);
    if (e.isDirectory()) latest = Math.max(latest, newest(path, wanted));
    else if (wanted.test(e.name)) latest = Math.max(latest, statSync(join(root, path)).mtimeMs);
  }
  return latest;
}
