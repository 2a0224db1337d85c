import { readFileSync } from 'node:fs';
import { Command, Option } from 'commander';

interface Common {
  stack?: string;
  json?: boolean;
}

/** The options of a command, and --stack wherever it was written. */
const common = (c: Command): Common => c.optsWithGlobals<Common>();

/** Which control API, and what it takes to speak to it: options that are as good as the variables. */
const REMOTE = [
  ['--api <url>', 'SKBUS_API', 'control API of a stack on another machine, such as https://10.0.0.5:7070'],
  ['--token-file <file>', 'SKBUS_TOKEN_FILE', 'the token it wants'],
  ['--ca <file>', 'SKBUS_CA', 'the certificate to trust'],
] as const;

function withRemote(c: Command, hide: boolean): Command {
  for (const [flags, variable, text] of REMOTE)
    c.addOption(
      new Option(flags, `${text} (or ${variable})`).hideHelp(hide).argParser((value: string) => {
        process.env[variable] = value;
        return value;
      }),
    );
  c.addOption(new Option('--compose', 'a stack in containers, also when one of processes runs').hideHelp(hide));
  return c.on('option:compose', () => (process.env.SKBUS_COMPOSE = '1'));
}

function withStack(c: Command, compose?: string): Command {
  withRemote(c.option('--stack <name>', 'which stack (default: the one that runs)'), true);
  const option = c.options.find((o) => o.long === '--compose');
  if (compose !== undefined && option !== undefined) option.hideHelp(false).description = compose;
  return c;
}
const readable = (c: Command): Command => withStack(c).option('-j, --json', 'JSON on stdout');

/** Each command is loaded when it is used: `skbus status` does not pay for `skbus trace`. */
export function makeProgram(): Command {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  const p = new Command('skbus')
    .description('The Linux TCP/IP stack taken apart: every layer a process, in between a bus.')
    .version(version)
    .option('--stack <name>', 'which stack (default: the one that runs)')
    .enablePositionalOptions()
    .showHelpAfterError('(skbus --help lists the commands)')
    .exitOverride();
  p.addHelpText('after', EXAMPLES);
  withRemote(p, false);
  addLife(p);
  addLook(p);
  addUse(p);
  addFault(p);
  addScenario(p);
  addToxiproxy(p);
  return p;
}

const EXAMPLES = `
Examples:
  skbus up -d
  skbus peer -- ping -c 3 10.77.0.2
  skbus peer -- curl -s http://10.77.0.2/
  skbus trace --format pwru
  skbus ip route get 10.77.0.1
  skbus down
`;

function addLife(p: Command): void {
  withStack(p.command('up'), 'each layer in a container, with docker compose')
    .description('start a stack; Ctrl-C stops all of it')
    .option('-d, --detach', 'return when it is ready, leave it running')
    .option('--nic <kind>', 'back end of skb0: tap, wire or udp (default: tap where it can be had)')
    .option('--udp-local <host:port>', 'udp back end: where frames are received')
    .option('--udp-peer <host:port>', 'udp back end: where frames are sent')
    .option('--peer-netns <name>', "network namespace of the TAP's kernel end, or host (default: skbus-peer)")
    .option('--append <cmdline>', 'kernel command line: ip=, initcall_debug, initcall_blacklist=')
    .option('--no-offload', 'plain frames: no checksum and segmentation offload on the TAP')
    .option(
      '--hang-kill <seconds>',
      'replace a layer that does not answer for so long (default: 10; 0: only report it)',
    )
    .option('--no-spare', 'no warm process in reserve for a layer that dies')
    .option('--build', 'with --compose: build the images anew')
    .option('--no-peer', 'with --compose: without the plain Linux on the cable')
    .option('--inproc', 'every layer in one process, no nats-server')
    .option('--api-port <n>', 'control API on 127.0.0.1 (default: 7070)')
    .option('--api-host <address>', 'control API for other machines; wants TLS, and makes a token')
    .option('--api-tls', 'with a self-made certificate')
    .option('--api-cert <file>', 'with this certificate, and its key')
    .option('--api-key <file>', 'the key of --api-cert')
    .option('--api-token-file <file>', 'the token (default: one made in the run folder)')
    .option('--socks-port <n>', 'SOCKS5 on 127.0.0.1 (default: 1080; 0: none)')
    .option('--http-proxy-port <n>', 'HTTP CONNECT on 127.0.0.1 (default: none)')
    .option('--door-connections <n>', 'connections at once through SOCKS5, HTTP CONNECT, expose, each (default: 4096)')
    .option('--door-half-open <n>', 'of these not yet established at both ends (default: 1024)')
    .option('--nats-port <n>', 'port of nats-server (default: a free one)')
    .option('--nats-host <address>', 'nats-server for stacks of other machines, by TLS (default: 127.0.0.1)')
    .option('--nats-url <url>', 'join the wire of a stack elsewhere: tls://HOST:PORT')
    .option('--nats-keys <folder>', 'with what "skbus admit" made there')
    .option('-j, --json', 'with -d: JSON on stdout')
    .action(async (_o, c: Command) => (await import('./commands/up.ts')).up(c.optsWithGlobals()));
  withStack(p.command('down'))
    .description('stop a stack and remove what a killed one has left')
    .option('--all', 'every stack')
    .action(async (_o, c: Command) => (await import('./commands/down.ts')).down(c.optsWithGlobals()));
  readable(p.command('status'))
    .description('the services and where the skbs went')
    .action(async (_o, c: Command) => (await import('./commands/status.ts')).status(common(c)));
  readable(p.command('dmesg'))
    .description('the kernel log')
    .option('-w, --follow', 'wait for new messages')
    .action(async (_o, c: Command) => (await import('./commands/dmesg.ts')).dmesg(c.optsWithGlobals()));
  readable(p.command('upgrade'))
    .description('replace a running layer by a process of the build as it is now; connections stay')
    .argument('<layer>', 'nic, neigh, ip, udp, tcp or socket')
    .action(async (layer: string, _o, c: Command) => (await import('./commands/upgrade.ts')).upgrade(layer, common(c)));
  withStack(p.command('admit'))
    .description('let a stack of another machine join the wire of this one')
    .argument('<stack>', 'its name')
    .action(async (guest: string, _o, c: Command) => (await import('./commands/admit.ts')).admit(guest, common(c)));
  p.command('doctor')
    .description('what this machine has and lacks, and how to get it')
    .option('-j, --json', 'JSON on stdout')
    .action(async (_o, c: Command) => (await import('./commands/doctor.ts')).doctor(c.optsWithGlobals()));
}

function addLook(p: Command): void {
  p.command('ip')
    .description(
      'addresses, devices, routes, neighbours: ip [-j] [-br] [-s] addr|link|route|neigh [show|add|del|get …]',
    )
    .argument('[words...]', 'as with iproute2')
    .allowUnknownOption()
    .passThroughOptions()
    .helpOption(false)
    .action(async (words: string[], _o, c: Command) => (await import('./commands/ip.ts')).ip(words, common(c).stack));
  readable(p.command('ss'))
    .description('sockets')
    .option('-t, --tcp', 'TCP')
    .option('-u, --udp', 'UDP')
    .option('-l, --listening', 'listening ones only')
    .option('-a, --all', 'listening and other ones')
    .option('-n, --numeric', 'numbers for ports (they always are)')
    .option('-i, --info', 'what TCP knows of each connection')
    .option('-p, --processes', 'accepted for the habit: a stack knows sockets, not the programs of the host')
    .option('-s, --summary', 'how many sockets there are')
    .option('-H, --no-header', 'no header line')
    .action(async (_o, c: Command) => (await import('./commands/ss.ts')).ss(c.optsWithGlobals()));
  readable(p.command('nstat'))
    .description('SNMP counters, as increments since the last call')
    .option('-a, --ignore', 'absolute values')
    .option('-z, --zeros', 'also those that are 0')
    .option('-s, --noupdate', 'do not remember this call')
    .option('-r, --reset', 'forget the last call')
    .argument('[patterns...]', 'names, with * and ?')
    .action(async (patterns: string[], _o, c: Command) =>
      (await import('./commands/nstat.ts')).nstat(patterns, c.optsWithGlobals()),
    );
  withStack(p.command('trace'))
    .description('kernel functions as packets pass them')
    .option('--follow <id>', 'one skb and its children')
    .option('--format <name>', 'pwru, ftrace or json', 'pwru')
    .option('-c, --count <n>', 'stop after that many')
    .option('-j, --json', 'the same as --format json')
    .action(async (_o, c: Command) => (await import('./commands/trace.ts')).trace(c.optsWithGlobals()));
}

const collect = (word: string, all: string[]): string[] => [...all, word];

function addUse(p: Command): void {
  readable(p.command('ping'))
    .description('ICMP echo from the stack')
    .argument('<host>')
    .option('-c, --count <n>', 'stop after that many')
    .option('-i, --interval <s>', 'seconds between two', '1')
    .option('-s, --size <n>', 'data bytes', '56')
    .option('-W, --timeout <s>', 'seconds to wait for an answer', '10')
    .option('-t, --ttl <n>', 'time to live', '64')
    .option('-q, --quiet', 'only the summary')
    .action(async (host: string, _o, c: Command) =>
      (await import('./commands/ping.ts')).ping(host, c.optsWithGlobals()),
    );
  withStack(p.command('peer'))
    .description('run a command as the Linux peer at the other end of the TAP')
    .argument('<command...>')
    .passThroughOptions()
    .allowUnknownOption()
    .action(async (words: string[], _o, c: Command) =>
      (await import('./commands/peer.ts')).peer(words, common(c).stack),
    );
  readable(p.command('expose'))
    .description('lead connections to a port of the stack to a real server; without arguments: list')
    .argument('[port]')
    .argument('[host:port]')
    .option('--rm', 'stop it')
    .action(async (port: string | undefined, target: string | undefined, _o, c: Command) =>
      (await import('./commands/expose.ts')).expose(port, target, c.optsWithGlobals()),
    );
  p.command('packetdrill')
    .description('run packetdrill scripts: on the engines in virtual time, on the running services, or on Linux')
    .option('--target <name>', 'engine, services or linux', 'engine')
    .option('--strict', 'packets that nobody expected, left at the end, are a failure')
    .option('--no-strict', 'what is left at the end does not matter (default, as in the original)')
    .option('--iss <n>', 'initial sequence number of the stack (engine)')
    .option('--remote-iss <n>', "what the script's sequence number 0 of the remote host is on the wire")
    .option('--wrap', 'both sides cross 2^32 with their first data (engine)')
    .option('--timestamps <mode>', 'on: add them to scripts without, off: take them away')
    .option('-D, --define <name=value>', 'replace a word in the scripts', collect, [])
    .option('-j, --json', 'JSON on stdout')
    .argument('<path...>', 'scripts, or folders of *.pkt')
    .action(async (paths: string[], _o, c: Command) =>
      (await import('./commands/packetdrill.ts')).packetdrill(paths, c.opts()),
    );
  readable(p.command('sysctl'))
    .description('read sysctls, or write one: sysctl net.ipv4.ip_default_ttl=63')
    .argument('[name[=value]]')
    .option('-a, --all', 'all of them, as without a name')
    .action(async (word: string | undefined, _o, c: Command) =>
      (await import('./commands/sysctl.ts')).sysctl(word, common(c)),
    );
}

function addFault(p: Command): void {
  const f = withStack(p.command('fault')).description('break one layer in one way, at a chosen packet');
  f.enablePositionalOptions();
  const load = (): Promise<typeof import('./commands/fault.ts')> => import('./commands/fault.ts');
  readable(f.command('add'))
    .description("add a rule: at tcp rx match 'tcp.flags.syn == 1' drop first 2")
    .option('--id <id>', 'its name; a rule with the same one is replaced')
    .argument('<words...>')
    .action(async (words: string[], _o, c: Command) => (await load()).add(words, c.optsWithGlobals()));
  readable(f.command('ls'))
    .description('the rules, how many matched, and how often each acted')
    .action(async (_o, c: Command) => (await load()).list(common(c)));
  readable(f.command('rm'))
    .description('remove rules; what they hold goes on')
    .argument('<id...>')
    .action(async (ids: string[], _o, c: Command) => (await load()).rm(ids, common(c)));
  readable(f.command('clear'))
    .description('remove all rules')
    .action(async (_o, c: Command) => (await load()).clear(common(c)));
  readable(f.command('apply'))
    .description('exactly the rules of a file, one per line')
    .argument('<file>')
    .action(async (file: string, _o, c: Command) => (await load()).apply(file, common(c)));
  readable(f.command('log'))
    .description('what the rules did')
    .option('-w, --follow', 'wait for more')
    .action(async (_o, c: Command) => (await load()).log(c.optsWithGlobals()));
  readable(f.command('replay'))
    .description('do again to the same packets what a log says (skbus fault log --json > LOG)')
    .argument('<log>')
    .action(async (file: string, _o, c: Command) => (await load()).replay(file, common(c)));
  readable(f.command('held'))
    .description('what waits at breakpoints')
    .action(async (_o, c: Command) => (await load()).held(common(c)));
  withStack(f.command('hands'))
    .description('act on the containers of a stack as its service rules say (fault add starts it where it is needed)')
    .action(async (_o, c: Command) => (await load()).hands(common(c)));
  for (const how of ['step', 'release'] as const)
    readable(f.command(how))
      .description(how === 'step' ? 'let the oldest one go that a rule holds' : 'let all go that a rule holds')
      .argument('<id>')
      .action(async (id: string, _o, c: Command) => (await load()).letGo(how, id, common(c)));
  readable(f.command('edit'))
    .description('change a held packet: edit tcp/3 tcp.window_size_value=0')
    .option('--csum <how>', 'fix: put the checksum right; keep: leave it wrong')
    .argument('<number>')
    .argument('<field=value...>')
    .action(async (number: string, words: string[], _o, c: Command) =>
      (await load()).edit(number, words, c.optsWithGlobals()),
    );
}

function addScenario(p: Command): void {
  const s = withStack(p.command('scenario')).description('faults, work and expectations in a file (docs/FAULTS.md)');
  s.enablePositionalOptions();
  const load = (): Promise<typeof import('./commands/scenario.ts')> => import('./commands/scenario.ts');
  readable(s.command('run'))
    .description('run scenarios; exit status 1 if something was not as expected')
    .option('--target <name>', 'sim: two hosts in virtual time; services: the stack that runs', 'sim')
    .option('--junit <file>', 'write a report as JUnit does')
    .option('--seed <n>', 'in place of the seed of each')
    .option('--only <text>', 'those with this in their name')
    .argument('<file...>', 'YAML, or Markdown with blocks of it (```yaml scenario)')
    .action(async (files: string[], _o, c: Command) => (await load()).run(files, c.optsWithGlobals()));
  readable(s.command('check'))
    .description('read scenarios and say what is wrong with them')
    .argument('<file...>')
    .action(async (files: string[], _o, c: Command) => (await load()).check(files, c.optsWithGlobals()));
}

function addToxiproxy(p: Command): void {
  withStack(p.command('toxiproxy'))
    .description('Toxiproxy’s API for this stack, until Ctrl-C (docs/TOXIPROXY.md)')
    .option('--port <n>', 'where it listens', '8474')
    .option('--host <address>', 'on which address', '127.0.0.1')
    .option('--config <file>', 'proxies to begin with, as toxiproxy-server’s -config')
    .option('--seed <n>', 'decides what toxics leave to chance')
    .option('--no-seams', 'without the proxies of the layers’ seams')
    .action(async (_o, c: Command) => (await import('./commands/toxiproxy.ts')).toxiproxy(c.optsWithGlobals()));
}
