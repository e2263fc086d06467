import type { ErrorBody } from '../shared/wire';

/** `status` 0: the server could not be reached. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    /** Before this moment it is of no use to try again; the server said so. */
    readonly retryAt?: number | undefined,
  ) {
    super(message);
  }
}

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

/** One call to the server's API; the session cookie goes along by itself. A form goes as it is, all else as JSON. */
export async function call<T>(method: Method, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const reply = await send(method, path, body, signal);
  const text = await reply.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

/** The same, for an answer that is read as it comes. */
export async function send(method: Method, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  const asIs = body === undefined || body instanceof FormData;
  let reply: Response;
  try {
    reply = await fetch(`/api/v1${path}`, {
      method,
      signal: signal ?? null,
      headers: asIs ? {} : { 'Content-Type': 'application/json' },
      body: body === undefined ? null : asIs ? (body as FormData) : JSON.stringify(body),
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new ApiError(0, 'unreachable', '');
  }
  if (reply.ok) return reply;
  const { code, message } = errorOf(await reply.text()) ?? { code: 'internal', message: reply.statusText || String(reply.status) };
  throw new ApiError(reply.status, code, message, after(Number(reply.headers.get('Retry-After')) * 1000));
}

/** The moment so many milliseconds from now; none when nothing was said. */
export function after(wait: number | undefined): number | undefined {
  return wait ? Date.now() + wait : undefined;
}

function errorOf(text: string): ErrorBody['error'] | undefined {
  try {
    return (JSON.parse(text) as Partial<ErrorBody>).error;
  } catch {
    return undefined;
  }
}

/** `?a=1&b=2` of what is not empty; nothing when all is. */
export function query(values: Record<string, string | number | undefined>): string {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== '');
  return given.length ? `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}` : '';
}
