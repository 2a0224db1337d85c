import type { Target } from '../target.ts';
import { grep, type Nstat } from './nstat.ts';

/** What the scripts of Linux's own suite set before they begin (their defaults.sh). */
const DEFAULTS: Readonly<Record<string, string>> = {
  'net.ipv4.tcp_rmem': '4096 540000 15728640',
  'net.ipv4.tcp_wmem': '4096 262144 4194304',
  'net.ipv4.tcp_timestamps': '1',
  'net.ipv4.tcp_syn_retries': '5',
  'net.ipv4.tcp_synack_retries': '5',
  'net.ipv4.tcp_frto': '2',
  'net.ipv4.tcp_sack': '1',
  'net.ipv4.tcp_dsack': '1',
  'net.ipv4.tcp_reordering': '3',
  'net.ipv4.tcp_congestion_control': 'cubic',
  'net.ipv4.tcp_slow_start_after_idle': '0',
  'net.ipv4.tcp_early_retrans': '4',
  'net.ipv4.tcp_recovery': '1',
  'net.ipv4.tcp_tso_win_divisor': '3',
  'net.ipv4.tcp_ecn': '0',
  'net.ipv4.tcp_pacing_ss_ratio': '200',
  'net.ipv4.tcp_pacing_ca_ratio': '120',
  'net.ipv4.tcp_notsent_lowat': '4294967295',
  'net.ipv4.tcp_fastopen': '0x3',
  'net.ipv4.tcp_fastopen_key': 'a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4',
  'net.ipv4.tcp_syncookies': '1',
};

/** Set-up of Linux's devices, caches and tools that a stack without them has no use for. */
const LINUX_ONLY = new Set([
  'tc',
  'ethtool',
  'sync',
  'modprobe',
  'rm',
  'mount',
  'touch',
  'mkdir',
  'sleep',
  'chmod',
  'dd',
]);
const NOTHING = new Set(['true', ':', 'echo', 'cat', 'set', 'export', 'exit', 'printf']);

/**
 * A script's `command`. A target that is a real machine runs it; for the others what it means to the stack is done here,
 * and a command that is not understood is an error, as it may matter.
 */
export async function runCommand(text: string, target: Target, nstat: Nstat, note: (n: string) => void): Promise<void> {
  if (target.command !== undefined) {
    await runReal(text, target, target.command.bind(target), note);
    return;
  }
  for (const line of simpleCommands(text)) {
    const [first, ...filters] = pipeline(line);
    try {
      if (filters.length > 0 || first![0] === 'nstat') await runNstat(first!, filters, line, target, nstat);
      else await runSimple(first!, line, target, note);
    } catch (e) {
      if (e instanceof Error && e.constructor === Error) throw new Error(`\`${line}\`: ${e.message}`, { cause: e });
      throw e;
    }
  }
}

/** What lies beside the scripts of Linux's suite and Google's; they are not there when a script is run by itself. */
const SUITE_COMMAND =
  /^(?:\.\s+|source\s+|bash\s+)?\S*(?:\/(?:defaults\.sh|set_sysctls\.py)|\/sysctl_restore_\S+)(?:\s|$)/;

/** On a real machine a shell runs the commands, but for those of the suite, which mean the same everywhere. */
async function runReal(
  text: string,
  target: Target,
  shell: (lines: string) => Promise<void>,
  note: (n: string) => void,
): Promise<void> {
  let lines: string[] = [];
  const run = async (): Promise<void> => {
    const own = lines.join('\n');
    lines = [];
    if (own.trim() === '') return;
    try {
      await shell(own);
    } catch (e) {
      throw e instanceof Error ? new Error(`\`${own}\`: ${e.message}`, { cause: e }) : e;
    }
  };
  for (const line of text.replaceAll(/\\\n/g, ' ').split('\n')) {
    if (SUITE_COMMAND.test(line.trim())) {
      await run();
      await runSimple(splitWords(line.trim()), line, target, note);
    } else {
      lines.push(line);
    }
  }
  await run();
}

/** The commands of a shell script without loops and conditions. */
function simpleCommands(text: string): string[] {
  return text
    .replaceAll(/\\\n/g, ' ')
    .split(/\n|&&|;(?![^"']*["'](?:[^"']*["'][^"']*["'])*[^"']*$)/)
    .map((l) => l.replace(/(?:^|\s)#.*$/, '').trim())
    .filter((l) => l !== '');
}

const WORD = /(?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\])+/g;

function splitWords(line: string): string[] {
  const words = line.match(WORD) ?? [];
  return words
    .filter((w) => !/^\d*>/.test(w) && w !== '/dev/null')
    .map((w) =>
      arithmetic(w.replaceAll(/"((?:\\.|[^"\\])*)"|'([^']*)'/g, (_, a?: string, b?: string) => a ?? b ?? '')),
    );
}

/** The commands of `a | b | c`, each as its words. */
function pipeline(line: string): string[][] {
  const parts: string[] = [''];
  for (const piece of line.match(/"(?:\\.|[^"\\])*"|'[^']*'|\|\|?|[^"'|]+|["']/g) ?? []) {
    if (piece === '||') break;
    if (piece === '|') parts.push('');
    else parts[parts.length - 1] += piece;
  }
  return parts.map(splitWords);
}

/** `nstat | grep NAME | grep -q " 3 "`: fails if nothing passes, as the shell's would. */
async function runNstat(
  words: readonly string[],
  filters: readonly (readonly string[])[],
  line: string,
  target: Target,
  nstat: Nstat,
): Promise<void> {
  const unknown = new Error(`it is not a command that the ${target.name} target understands`);
  if (words[0] !== 'nstat') throw unknown;
  let lines = await nstat.lines(target, words.slice(1));
  const seen = filters.length > 1 ? grep(lines, filters[0]!) : undefined;
  for (const f of filters) {
    const passed = grep(lines, f);
    if (passed === undefined) throw unknown;
    lines = passed;
  }
  if (filters.length > 0 && lines.length === 0)
    throw new Error(seen === undefined ? 'no counter is like that' : `the counters are: ${seen.join('; ') || 'none'}`);
}

/** `$((15*1024*1024))` */
const arithmetic = (w: string): string =>
  w.replaceAll(/\$\(\(([\d\s*]+)\)\)/g, (_, product: string) =>
    String(product.split('*').reduce((n, f) => n * Number(f), 1)),
  );

async function runSimple(
  words: readonly string[],
  line: string,
  target: Target,
  note: (n: string) => void,
): Promise<void> {
  const [name = '', ...args] = words;
  const base = name.slice(name.lastIndexOf('/') + 1);
  if (base === 'defaults.sh') {
    for (const [key, value] of Object.entries(DEFAULTS)) await set(target, key, value, note, true);
    return;
  }
  if (base === 'sysctl') {
    for (const [key, value] of assignments(args)) await set(target, key, value, note, false);
    return;
  }
  // What set_sysctls.py leaves behind to undo it; every script has a fresh stack.
  if (base.startsWith('sysctl_restore_')) return;
  if (base === 'set_sysctls.py') {
    for (const [path, value] of assignments(args))
      await set(target, path.replace(/^\/proc\/sys\//, '').replaceAll('/', '.'), value, note, false);
    return;
  }
  if (base === 'ip') {
    runIp(args, line, target, note);
    return;
  }
  if (NOTHING.has(base) && !line.includes('>')) return;
  const written = /^echo\s+(.*?)\s*>\s*\/proc\/sys\/(\S+)$/.exec(line);
  if (written !== null) {
    await set(target, written[2]!.replaceAll('/', '.'), written[1]!.replaceAll(/["']/g, ''), note, false);
    return;
  }
  // the default, which a script makes sure of
  if (/^echo\s+3\s*>\s*\/sys\/module\/tcp_cubic\/parameters\/hystart_detect$/.test(line)) return;
  if (LINUX_ONLY.has(base)) {
    note(`\`${line}\` only concerns Linux and was ignored`);
    return;
  }
  throw new Error(`'${name}' is not a command that the ${target.name} target understands`);
}

/** `-q -w a=b c=d`, also with blanks around the `=`. */
function assignments(args: readonly string[]): [string, string][] {
  const text = args.filter((a) => !a.startsWith('-'));
  const joined: string[] = [];
  for (let i = 0; i < text.length; i++) {
    if (text[i + 1] === '=') {
      joined.push(`${text[i]}=${text[i + 2] ?? ''}`);
      i += 2;
    } else joined.push(text[i]!);
  }
  return joined.filter((a) => a.includes('=')).map((a) => [a.slice(0, a.indexOf('=')), a.slice(a.indexOf('=') + 1)]);
}

/** A default that a target cannot set is noted: a script that depends on it fails by itself. */
async function set(
  target: Target,
  key: string,
  value: string,
  note: (n: string) => void,
  lenient: boolean,
): Promise<void> {
  try {
    await target.sysctl(key.trim(), value.trim());
  } catch (e) {
    if (!lenient || !(e instanceof Error)) throw e;
    note(e.message);
  }
}

function runIp(args: readonly string[], line: string, target: Target, note: (n: string) => void): void {
  const words = args.filter((a) => !/^-[46]$/.test(a));
  const [object = ''] = words;
  if (/^r(?:o(?:u(?:t(?:e)?)?)?)?$/.test(object)) {
    if (target.ipRoute === undefined) throw new Error(`'ip route' is not supported by the ${target.name} target`);
    target.ipRoute(words.slice(1));
    return;
  }
  if (object === 'tcp_metrics' || object === 'link' || object === 'neigh') {
    note(`\`${line}\` only concerns Linux and was ignored`);
    return;
  }
  throw new Error(`'ip ${object}' is not supported by the ${target.name} target`);
}
