import { UsageError } from './errors.ts';

/** The words after an object of iproute2, taken one by one. */
export class Words {
  private readonly words: readonly string[];
  private at = 0;

  constructor(words: readonly string[]) {
    this.words = words;
  }

  next(): string | undefined {
    return this.words[this.at++];
  }

  /** What follows a keyword. */
  value(keyword: string): string {
    const v = this.next();
    if (v === undefined)
      throw new UsageError(`Command line is not complete: "${keyword}" needs a value, try option "help"`);
    return v;
  }

  /** The first that begins so, as iproute2 has it; without a word the usual one. */
  command(names: readonly string[], what: string, usual: string | undefined): string {
    const word = this.words[this.at];
    if (word === undefined) {
      if (usual !== undefined) return usual;
      return 'help';
    }
    this.at++;
    const hit = names.find((n) => n.startsWith(word));
    if (hit !== undefined) return hit;
    throw new UsageError(
      what === 'OBJECT'
        ? `Object "${word}" is unknown, try "skbus ip help".`
        : `Command "${word}" is unknown, try "${what} help".`,
    );
  }

  /** `[ dev ] DEV`, or nothing. */
  deviceFilter(): string | undefined {
    const word = this.next();
    const dev = word === 'dev' ? this.value('dev') : word;
    const extra = this.next();
    if (extra !== undefined) throw new UsageError(`Error: either "dev" is duplicate, or "${extra}" is a garbage.`);
    return dev;
  }

  missing(what: string): never {
    throw new UsageError(`Not enough information: "${what}" argument is required.`);
  }
}
