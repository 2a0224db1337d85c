import { printTime } from '../lang/print.ts';
import type { Us } from '../lang/ast.ts';

/** What happened in a script so far, for the message when it fails. */
export class History {
  private readonly lines: { atUs: Us; text: string }[] = [];

  add(atUs: Us, text: string): void {
    this.lines.push({ atUs, text });
  }

  /** The last `n` lines, the oldest first. */
  last(n: number): string[] {
    const skipped = this.lines.length - n;
    const shown = this.lines.slice(Math.max(0, skipped)).map(({ atUs, text }) => `${stamp(atUs)} ${text}`);
    return skipped > 0 ? [`  … ${skipped} before`, ...shown] : shown;
  }
}

export const stamp = (atUs: Us): string => printTime(atUs).padStart(10);
