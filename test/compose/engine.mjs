#!/usr/bin/env node
// A container engine for the compose tests on a Debian machine without a registry:
//   engine.mjs up      installs what is missing, starts dockerd, makes stand-ins for the base images
//   engine.mjs down    ends that dockerd and what it made
// An engine that answers already is taken as it is and left alone. Needs root.
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const LAB = join(tmpdir(), 'skbus-engine');
const PID = join(LAB, 'dockerd.pid');
const FORWARD = '/proc/sys/net/ipv4/ip_forward';
const say = (/** @type {string} */ text) => process.stderr.write(`engine: ${text}\n`);
const CERTS = '/etc/ssl/certs/ca-certificates.crt';
const PATH = 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** @param {string} command @param {string[]} args @param {import('node:child_process').SpawnSyncOptions} [options] */
const run = (command, args, options) => spawnSync(command, args, { stdio: 'ignore', ...options }).status === 0;
/** @param {string} command @param {string[]} args */
const output = (command, args) => spawnSync(command, args, { encoding: 'utf8' }).stdout ?? '';

const [verb] = process.argv.slice(2);
if (verb === 'up') await up();
else if (verb === 'down') await down();
else {
  say('usage: engine.mjs up|down');
  process.exit(2);
}

async function up() {
  if (process.getuid?.() !== 0) fail('needs root');
  if (!run('docker', ['compose', 'version']) || !run('docker', ['buildx', 'version']) || !run('dockerd', ['--version']))
    install();
  if (!run('docker', ['info'])) await start();
  const [node, nats] = baseImages();
  if (!run('docker', ['image', 'inspect', node])) nodeImage(node);
  if (!run('docker', ['image', 'inspect', nats])) natsImage(nats);
  if (!run('docker', ['image', 'inspect', 'skbus-test-peer'])) peerImage('skbus-test-peer');
}

/** What the Dockerfile and the compose file are based on. */
function baseImages() {
  const node = /^FROM (node:\S+) AS build$/m.exec(readFileSync(join(root, 'Dockerfile'), 'utf8'))?.[1];
  const nats = /^ +image: (nats:\S+)$/m.exec(readFileSync(join(root, 'docker-compose.yml'), 'utf8'))?.[1];
  if (!node || !nats) fail('the Dockerfile or docker-compose.yml name no base image');
  return [/** @type {string} */ (node), /** @type {string} */ (nats)];
}

/**
 * The engine of this Debian release; compose v2 and buildx, which bookworm has not, from the next one: they need nothing
 * but its libc. With lists of their own, so that nothing else of that release gets in.
 */
function install() {
  const mirror = aptMirror();
  const apt = join(LAB, 'apt');
  for (const d of ['lists/partial', 'archives/partial']) mkdirSync(join(apt, d), { recursive: true });
  const release = /VERSION_CODENAME=(\w+)/.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'bookworm';
  writeFileSync(join(apt, 'sources.list'), `deb ${mirror} ${release} main\ndeb ${mirror} trixie main\n`);
  writeFileSync(join(apt, 'preferences'), 'Package: *\nPin: release n=trixie\nPin-Priority: 50\n');
  const options = Object.entries({
    'Dir::Etc::sourcelist': join(apt, 'sources.list'),
    'Dir::Etc::sourceparts': '-',
    'Dir::Etc::preferences': join(apt, 'preferences'),
    'Dir::State::lists': join(apt, 'lists'),
    'Dir::Cache::archives': join(apt, 'archives'),
    'Dir::Cache::pkgcache': '',
    'Dir::Cache::srcpkgcache': '',
    'APT::Sandbox::User': 'root',
    'DPkg::Lock::Timeout': '300',
  }).flatMap(([k, v]) => ['-o', `${k}=${v}`]);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  /** @type {(...a: string[]) => boolean} */
  const get = (...a) => run('apt-get', ['-q', '-y', ...options, ...a], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  say('installing docker, compose and buildx');
  const wanted = ['docker.io', 'iptables', 'busybox-static', 'docker-compose/trixie', 'docker-buildx/trixie'];
  if (!get('update') || !get('install', '--no-install-recommends', ...wanted)) fail('apt-get failed');
}

/** The archive that this machine already uses. */
function aptMirror() {
  const dir = '/etc/apt/sources.list.d';
  const files = ['/etc/apt/sources.list', ...(existsSync(dir) ? readdirSync(dir).map((f) => join(dir, f)) : [])];
  const text = files
    .filter((f) => existsSync(f))
    .map((f) => readFileSync(f, 'utf8'))
    .join('\n');
  const found = /^[^#\n]*?(https?:\/\/\S+\/debian\/?)(?=\s|$)/m.exec(text)?.[1];
  if (!found) fail('no Debian archive in /etc/apt');
  return /** @type {string} */ (found);
}

async function start() {
  mkdirSync(LAB, { recursive: true });
  rmSync(PID, { force: true });
  // Forwarding is on before dockerd looks: else it turns it on itself, and sets the FORWARD policy to DROP for everybody.
  if (!existsSync(join(LAB, 'ip_forward'))) writeFileSync(join(LAB, 'ip_forward'), readFileSync(FORWARD));
  writeFileSync(FORWARD, '1');
  const log = openSync(join(LAB, 'dockerd.log'), 'w');
  const child = spawn('dockerd', ['--data-root', join(LAB, 'data'), '--pidfile', PID], {
    stdio: ['ignore', log, log],
    detached: true,
  });
  child.unref();
  for (let i = 0; i < 300; i++) {
    if (run('docker', ['info'])) return;
    await sleep(100);
  }
  fail(`dockerd does not start: ${readFileSync(join(LAB, 'dockerd.log'), 'utf8').trim().split('\n').at(-1)}`);
}

async function down() {
  const pid = Number(existsSync(PID) ? readFileSync(PID, 'utf8') : 0);
  if (pid > 0 && isDockerd(pid)) {
    const all = output('docker', ['ps', '-aq']).split('\n').filter(Boolean);
    if (all.length > 0) run('docker', ['rm', '-f', ...all]);
    run('docker', ['network', 'prune', '-f']);
    process.kill(pid, 'SIGTERM');
    for (let i = 0; i < 200 && isDockerd(pid); i++) await sleep(100);
    run('ip', ['link', 'del', 'docker0']);
    for (const table of ['filter', 'nat']) forgetRules(table);
  }
  const before = join(LAB, 'ip_forward');
  if (existsSync(before)) writeFileSync(FORWARD, readFileSync(before));
  run('umount', ['-l', join(LAB, 'data')]);
  rmSync(LAB, { recursive: true, force: true });
}

/** A process that has ended and that nobody has waited for has an empty command line. */
function isDockerd(/** @type {number} */ pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('dockerd');
  } catch {
    return false;
  }
}

/** Docker's own rules and chains; those of others stay. */
function forgetRules(/** @type {string} */ table) {
  const rules = output('iptables', ['-t', table, '-S']).split('\n');
  for (const r of rules)
    if (r.startsWith('-A') && /DOCKER|docker0/.test(r)) run('iptables', ['-t', table, '-D', ...r.split(' ').slice(1)]);
  for (const r of rules) if (r.startsWith('-N DOCKER')) run('iptables', ['-t', table, '-X', r.slice(3)]);
}

/** Node, npm and bash of this machine. */
function nodeImage(/** @type {string} */ tag) {
  withRoot((dir) => {
    put(dir, process.execPath, '/usr/local/bin/node');
    const npm = join(dirname(realpathSync(which('npm'))), '..');
    cpSync(npm, join(dir, 'usr/local/lib/node_modules/npm'), { recursive: true });
    for (const x of ['npm', 'npx'])
      symlinkSync(`../lib/node_modules/npm/bin/${x}-cli.js`, join(dir, 'usr/local/bin', x));
    // A registry behind this machine's certificates is reached from inside of a build as well.
    mkdirSync(join(dir, 'usr/local/etc'), { recursive: true });
    writeFileSync(join(dir, 'usr/local/etc/npmrc'), `cafile=${CERTS}\nupdate-notifier=false\n`);
    importImage(dir, tag, ['-c', 'CMD ["node"]']);
  });
}

function natsImage(/** @type {string} */ tag) {
  withRoot((dir) => {
    put(dir, which('nats-server'), '/usr/local/bin/nats-server');
    importImage(dir, tag, ['-c', 'ENTRYPOINT ["nats-server"]']);
  });
}

/** A Linux that pings, curls and hashes. */
function peerImage(/** @type {string} */ tag) {
  withRoot((dir) => {
    for (const program of ['ping', 'curl', 'ip']) {
      rmSync(join(dir, 'bin', program), { force: true });
      put(dir, which(program), `/usr/bin/${program}`);
    }
    importImage(dir, tag, ['-c', 'CMD ["sleep", "infinity"]']);
  });
}

/** A folder with busybox, bash, users and names, as the root of an image. */
function withRoot(/** @type {(dir: string) => void} */ fill) {
  const dir = mkdtempSync(join(tmpdir(), 'skbus-image-'));
  try {
    for (const d of [
      'bin',
      'usr/bin',
      'usr/local/bin',
      'usr/local/lib/node_modules',
      'etc/ssl/certs',
      'root',
      'data',
      'run',
      'home/node',
    ])
      mkdirSync(join(dir, d), { recursive: true });
    for (const d of ['tmp', 'var/tmp']) {
      mkdirSync(join(dir, d), { recursive: true });
      chmodSync(join(dir, d), 0o1777);
    }
    chownSync(join(dir, 'home/node'), 1000, 1000);
    copyFileSync('/bin/busybox', join(dir, 'bin/busybox'));
    chmodSync(join(dir, 'bin/busybox'), 0o755);
    for (const applet of output('/bin/busybox', ['--list']).split('\n').filter(Boolean))
      if (applet !== 'busybox') symlinkSync('busybox', join(dir, 'bin', basename(applet)));
    symlinkSync('/bin/env', join(dir, 'usr/bin/env'));
    put(dir, '/bin/bash', '/bin/bash');
    // What libc loads by itself, and the part of it that modules of machine code are linked with.
    for (const l of ['libnss_dns.so.2', 'libnss_files.so.2', 'libresolv.so.2', 'librt.so.1']) {
      const lib = `/lib/x86_64-linux-gnu/${l}`;
      if (existsSync(lib)) copy(dir, lib);
    }
    if (existsSync(CERTS)) copyFileSync(CERTS, join(dir, CERTS));
    writeFileSync(join(dir, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n');
    writeFileSync(join(dir, 'etc/group'), 'root:x:0:\nnode:x:1000:\n');
    writeFileSync(join(dir, 'etc/nsswitch.conf'), 'hosts: files dns\n');
    fill(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** A program and the libraries it is linked with. */
function put(/** @type {string} */ dir, /** @type {string} */ program, /** @type {string} */ at) {
  mkdirSync(join(dir, dirname(at)), { recursive: true });
  rmSync(join(dir, at), { force: true });
  copyFileSync(realpathSync(program), join(dir, at));
  chmodSync(join(dir, at), 0o755);
  for (const lib of output('ldd', [program]).match(/\/\S+/g) ?? []) if (existsSync(lib)) copy(dir, lib);
}

function copy(/** @type {string} */ dir, /** @type {string} */ file) {
  const to = join(dir, file);
  if (existsSync(to)) return;
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(realpathSync(file), to);
  chmodSync(to, 0o755);
}

function which(/** @type {string} */ program) {
  for (const d of [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin', '/usr/bin', '/bin']) {
    const file = join(d, program);
    if (existsSync(file)) return file;
  }
  return fail(`${program} is not installed`);
}

function importImage(/** @type {string} */ dir, /** @type {string} */ tag, /** @type {string[]} */ changes) {
  say(`image ${tag}, from what this machine has`);
  const tar = join(tmpdir(), `${basename(dir)}.tar`);
  try {
    if (!run('tar', ['-C', dir, '-cf', tar, '.']) || !run('docker', ['import', '-c', PATH, ...changes, tar, tag]))
      fail(`cannot make the image ${tag}`);
  } finally {
    rmSync(tar, { force: true });
  }
}

/** @returns {never} */
function fail(/** @type {string} */ why) {
  say(why);
  process.exit(1);
}
