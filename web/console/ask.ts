// One question over server-sent events, told as it is answered.

import type { Decision, Done, SearchSettings, Source, TurnFrame } from '../shared/wire';
import { newId } from '../widget/state';
import { after, ApiError, send } from './api';

export interface Told {
  response: string;
  text: string;
  decision: Decision | undefined;
  sources: Source[];
  /** A model answers what the knowledge does not have. */
  unsourced: boolean;
  done: Done | undefined;
}

export interface Question {
  text: string;
  model?: string | undefined;
  market?: string | undefined;
  locale?: string | undefined;
  /** What is tried out for it, where that can be said. */
  settings?: SearchSettings | undefined;
  template?: { name: string; version: number } | undefined;
}

type Frame = TurnFrame | { type: 'error'; code: string; message: string; retry_after_ms?: number };

/** Asks in a conversation of its own; `tell` gets the answer so far after every event. Throws when none came, or not the whole. */
export async function ask(question: Question, tell: (told: Told) => void, signal?: AbortSignal, door = '/chat'): Promise<Told> {
  const body = { ...question, client_msg_id: newId() };
  const reply = await send('POST', door, body, signal);
  let told: Told = { response: '', text: '', decision: undefined, sources: [], unsourced: false, done: undefined };
  for await (const frame of frames(reply, signal)) {
    told = add(told, frame);
    tell(told);
  }
  if (!told.done) throw broken();
  const { status, error } = told.done;
  if (status === 'failed' && error) throw new ApiError(-1, error.code, error.message, after(error.retry_after_ms));
  return told;
}

export function add(told: Told, frame: Frame): Told {
  switch (frame.type) {
    case 'error':
      throw new ApiError(-1, frame.code, frame.message, after(frame.retry_after_ms));
    case 'response.created':
      return { ...told, response: frame.response_id ?? '' };
    case 'response.sources':
      return { ...told, decision: frame.decision, sources: frame.sources, unsourced: !!frame.unsourced };
    case 'response.text.delta':
      return { ...told, text: told.text + frame.delta };
    case 'response.text.done':
      return { ...told, text: frame.text };
    case 'response.done':
      return { ...told, done: frame };
    default:
      return told;
  }
}

function broken(): ApiError {
  return new ApiError(-1, 'answer_broken', '');
}

async function* frames(reply: Response, signal?: AbortSignal): AsyncGenerator<Frame> {
  const reader = reply.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read().catch((cause: unknown) => {
      throw signal?.aborted ? cause : broken();
    });
    if (done) return;
    const parts = (rest + value).split('\n\n');
    rest = parts.pop()!;
    for (const part of parts) {
      const data = part.split('\n').filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trim());
      if (data.length) yield JSON.parse(data.join('\n')) as Frame;
    }
  }
}
