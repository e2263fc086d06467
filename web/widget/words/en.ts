// The panel in English.

import type { Words } from '../words';

export const en: Words = {
  name: 'Merchant assistant',

  online: 'Online',
  connecting: 'Connecting…',
  reconnecting: 'Reconnecting…',
  stopped: 'Not connected',

  fresh: 'New conversation',
  menu: 'More',
  close: 'Close',

  greeting: 'Hello. I answer from the merchant rules and notices, and show the source of each answer.',
  startersTitle: 'Try asking',

  history: 'Conversation',
  ask: 'Ask a question',
  send: 'Send',
  stop: 'Stop answering',
  tooLong: 'Up to {max} characters; this is {n}.',
  newBelow: 'New text below',
  aiMark: 'Written by AI; check the sources',
  unsourced: ' (this one has no source)',

  waiting: 'Waiting for the connection, then sending by itself…',
  retrieving: 'Looking up the rules…',
  generating: 'Writing the answer…',
  generatingFrom: 'Rules found: {n}. Writing the answer…',
  stopping: 'Stopping…',
  reasoning: 'Reasoning',

  you: 'You asked',
  sources: 'Sources',
  sourceOf: 'Source {n}: {title}',
  moreSources: '{n} more found',
  suggestions: 'Ask next',
  nearest: 'Nearest questions',
  contact: 'Ask a person',
  copy: 'Copy',
  copied: 'Copied',
  again: 'Ask again',
  cancelled: 'Stopped.',
  incomplete: 'The answer was cut short.',
  lost: 'The connection was lost before this answer was complete.',
  failed: 'No answer this time: {why}',
  refused: 'This was not sent: {why}',
  retry: 'Try again',
  afterWait: ' ({s} s)',
  answered: 'Answer complete. Sources: {n}.',

  edit: 'Edit',
  editing: 'Editing: sending replaces this question and what followed.',
  letBe: 'Cancel',
  regenerate: 'Another answer',
  up: 'Helpful',
  down: 'Not helpful',

  reload: 'Reload the page',
  connectNow: 'Connect now',
  continueHere: 'Continue here',
  close4400: 'The page and the service are on different versions. Reload the page; the conversation stays.',
  close4401: 'Access could not be verified. Reload the page; if that does not help, ask the administrator to check the access key.',
  close4403: 'The assistant is not enabled for this site yet. Ask the administrator to allow {origin}.',
  offline: 'No network. This goes on by itself when it is back.',
  slow: 'The network is slow. Connecting again.',
  close4409: 'This conversation continues in another window.',
  close4429: 'Too many requests. This resumes by itself in about {s} seconds.',
  close1009: 'The text was too long to send and is back in the box. Shorten it and send again.',
  unreachable: 'The service cannot be reached; trying again. Check your network; if it still fails, ask the administrator.',

  busy: 'Busy right now. Wait a moment and try again.',
  unavailable: 'The service is not available right now. Try again shortly.',
};
