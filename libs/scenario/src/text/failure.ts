/** What is wrong inside a text, and where in it (from 0). */
export class TextFailure extends Error {
  override name = 'TextFailure';
  readonly column: number;

  constructor(column: number, message: string) {
    super(message);
    this.column = column;
  }
}
