import type { Target } from '../target.ts';

/** Counters as nstat shows them: increments since the last call, which a script uses to begin anew. */
export class Nstat {
  private last: ReadonlyMap<string, number> = new Map();

  /** The lines of `nstat ARGS`: `-a` absolute, `-z` zeros too, `-s` without remembering, `-n` without printing. */
  async lines(target: Target, args: readonly string[]): Promise<string[]> {
    const flags = args.filter((a) => a.startsWith('-')).join('');
    const patterns = args.filter((a) => !a.startsWith('-'));
    const now = await target.counters();
    const { last } = this;
    if (!flags.includes('s')) this.last = new Map(now);
    if (flags.includes('n')) return [];
    const names = new Set([...now.keys(), ...(flags.includes('z') ? patterns : [])]);
    const lines: string[] = [];
    for (const name of names) {
      if (patterns.length > 0 && !patterns.some((p) => globOf(p).test(name))) continue;
      const n = (now.get(name) ?? 0) - (flags.includes('a') ? 0 : (last.get(name) ?? 0));
      if (n !== 0 || flags.includes('z')) lines.push(`${name.padEnd(32)}${String(n).padEnd(19)}0.0`);
    }
    return lines;
  }
}

const globOf = (p: string): RegExp => new RegExp(`^${p.replaceAll('*', '.*').replaceAll('?', '.')}$`);

/** `| grep …`: what passes; undefined: a command that is not understood. */
export function grep(lines: readonly string[], words: readonly string[]): string[] | undefined {
  const [name, ...rest] = words;
  if (name !== 'grep' && name !== 'egrep') return undefined;
  const flags = rest.filter((w) => w.startsWith('-')).join('');
  const patterns = rest.filter((w) => !w.startsWith('-'));
  if (patterns.length !== 1 || /[^-qvEwi]/.test(flags)) return undefined;
  const source = flags.includes('w') ? `\\b(?:${patterns[0]})\\b` : patterns[0]!;
  const re = new RegExp(source, flags.includes('i') ? 'i' : '');
  return lines.filter((l) => re.test(l) !== flags.includes('v'));
}
