import { CmdlineError } from './cmdline-error.ts';
import { parseIpParam, type IpParam } from './ip-param.ts';

/** One word of the kernel command line: `name`, or `name=value`. */
export interface CmdlineWord {
  name: string;
  value: string | undefined;
  /** As it was written, quotes and all. */
  text: string;
}

/** The kernel command line, and what this stack makes of it. */
export interface Cmdline {
  text: string;
  words: CmdlineWord[];
  /** `ip=`; undefined when it is not there. */
  ip: IpParam | undefined;
  initcallDebug: boolean;
  /** Names given to `initcall_blacklist=`, in order. */
  blacklist: string[];
  /** Words nobody here knows. The kernel hands them to init. */
  unknown: string[];
  /** What stands after `--`, for init alone. */
  initArgs: string[];
}

/** Throws CmdlineError. */
export function parseCmdline(text: string): Cmdline {
  const words = splitWords(text);
  const line: Cmdline = {
    text,
    words,
    ip: undefined,
    initcallDebug: false,
    blacklist: [],
    unknown: [],
    initArgs: [],
  };
  const end = words.findIndex((w) => w.text === '--');
  if (end >= 0) line.initArgs = words.slice(end + 1).map((w) => w.text);
  for (const w of end < 0 ? words : words.slice(0, end)) take(line, w);
  return line;
}

/**
 * Words are separated by white space; double quotes hold a word together and are not part of a value that they enclose
 * (lib/cmdline.c:next_arg).
 */
export function splitWords(text: string): CmdlineWord[] {
  const words: CmdlineWord[] = [];
  const n = text.length;
  let at = 0;
  while (at < n) {
    if (/\s/.test(text[at]!)) {
      at++;
      continue;
    }
    const from = at;
    let quoted = false;
    while (at < n && (quoted || !/\s/.test(text[at]!))) {
      if (text[at] === '"') quoted = !quoted;
      at++;
    }
    if (quoted) throw new CmdlineError(`kernel command line: the quote in ${text.slice(from)} is not closed`);
    words.push(wordOf(text.slice(from, at)));
  }
  return words;
}

function wordOf(text: string): CmdlineWord {
  const whole = text.startsWith('"');
  const body = whole ? text.slice(1, text.endsWith('"') && text.length > 1 ? -1 : undefined) : text;
  const eq = body.indexOf('=');
  if (eq <= 0) return { name: body, value: undefined, text };
  let value = body.slice(eq + 1);
  if (value.startsWith('"')) value = value.slice(1, value.endsWith('"') && value.length > 1 ? -1 : undefined);
  return { name: body.slice(0, eq), value, text };
}

function take(line: Cmdline, w: CmdlineWord): void {
  // Dashes and underscores are the same in a parameter's name (kernel/params.c:parameq).
  switch (w.name.replaceAll('-', '_')) {
    case 'ip':
      line.ip = parseIpParam(w.value ?? '');
      return;
    case 'initcall_debug':
      line.initcallDebug = isTrue(w);
      return;
    case 'initcall_blacklist':
      if (!w.value)
        throw new CmdlineError('initcall_blacklist=: expected names of initcalls, such as initcall_blacklist=tun_init');
      line.blacklist.push(...w.value.split(',').filter((name) => name !== ''));
      return;
    default:
      line.unknown.push(w.text);
  }
}

/** kernel/params.c:param_set_bool: no value at all means yes. */
function isTrue(w: CmdlineWord): boolean {
  if (w.value === undefined || /^(y|yes|1|on|true|t)$/i.test(w.value)) return true;
  if (/^(n|no|0|off|false|f)$/i.test(w.value)) return false;
  throw new CmdlineError(`${w.name}=${w.value}: expected a yes or a no, such as ${w.name}=1`);
}
