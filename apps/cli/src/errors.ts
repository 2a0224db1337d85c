/** Something that a person is told in one sentence; `code` is what the program exits with. */
export class CliError extends Error {
  override name = 'CliError';
  readonly code: number;

  constructor(message: string, code = 1) {
    super(message);
    this.code = code;
  }
}

/** What was typed makes no sense. */
export class UsageError extends CliError {
  override name = 'UsageError';

  constructor(message: string) {
    super(message, 2);
  }
}
