/** Thrown inside the compiler only; compileFilter() turns it into a FilterError. */
export class FilterFailure extends Error {
  readonly column: number;
  readonly length: number;

  constructor(at: { column: number; length: number }, message: string) {
    super(message);
    this.name = 'FilterFailure';
    this.column = at.column;
    this.length = at.length;
  }
}
