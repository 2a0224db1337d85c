/** What Toxiproxy says and how: `{"error": …, "status": …}`. */
export class ApiError extends Error {
  override name = 'ApiError';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export const notFound = (what: 'proxy' | 'toxic'): ApiError => new ApiError(404, `${what} not found`);
export const exists = (what: 'proxy' | 'toxic'): ApiError => new ApiError(409, `${what} already exists`);
export const badBody = (why: string): ApiError => new ApiError(400, `bad request body: ${why}`);
export const missing = (field: string, where = ''): ApiError =>
  new ApiError(400, `missing required field: ${field}${where}`);
