/** A word of the command line that cannot be used, with a sentence that names it. */
export class CmdlineError extends Error {
  override name = 'CmdlineError';
}
