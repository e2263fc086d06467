import type { ErrorBody } from '../shared/wire';

/** `status` 0: the server could not be reached. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** One call to the server's API; the session cookie goes along by itself. */
export async function call<T>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  let reply: Response;
  try {
    reply = await fetch(`/api/v1${path}`, {
      method,
      signal: signal ?? null,
      headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new ApiError(0, 'unreachable', '');
  }
  const text = await reply.text();
  if (!reply.ok) {
    const { code, message } = errorOf(text) ?? { code: 'internal', message: reply.statusText || String(reply.status) };
    throw new ApiError(reply.status, code, message);
  }
  return (text ? JSON.parse(text) : undefined) as T;
}

function errorOf(text: string): ErrorBody['error'] | undefined {
  try {
    return (JSON.parse(text) as Partial<ErrorBody>).error;
  } catch {
    return undefined;
  }
}
