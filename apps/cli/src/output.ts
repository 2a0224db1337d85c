/** stdout is for data, stderr for talk. */
export const print = (line: string): void => void process.stdout.write(`${line}\n`);
export const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** JSON as iproute2 has it: one line, or laid out with -p. */
export const printJson = (value: unknown, pretty = false): void =>
  print(JSON.stringify(value, null, pretty ? 2 : undefined));

/** `skbus trace | head`: whoever read has seen enough. */
export function quietOnBrokenPipe(): void {
  for (const s of [process.stdout, process.stderr]) {
    s.on('error', (e: NodeJS.ErrnoException) => {
      if (e.code === 'EPIPE') process.exit(0);
      throw e;
    });
  }
}

/** Columns, padded to the widest cell; no blanks at the end of a line. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((r) => r[i]!.length)));
  return rows.map((r) =>
    r
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd(),
  );
}

type Style = 'bold' | 'green' | 'red' | 'yellow' | 'dim';
const CODES: Record<Style, string> = { bold: '1', green: '32', red: '31', yellow: '33', dim: '2' };

export function useColor(stream: NodeJS.WriteStream): boolean {
  if (process.env.NO_COLOR) return false;
  if (process.env.FORCE_COLOR && process.env.FORCE_COLOR !== '0') return true;
  return stream.isTTY && process.env.TERM !== 'dumb';
}

export const paint = (style: Style, text: string, stream: NodeJS.WriteStream = process.stdout): string =>
  useColor(stream) ? `\u001b[${CODES[style]}m${text}\u001b[0m` : text;
