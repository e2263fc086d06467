import type { Lang } from '../shared/i18n';

const zh = {
  name: '商家助手',

  online: '在线',
  connecting: '正在连接…',
  reconnecting: '连接断开，正在重连…',
  offline: '当前没有网络',
  stopped: '未连接',

  fresh: '新对话',
  menu: '更多',
  close: '关闭',
  model: '回答模型',
  modelAuto: '默认',

  greeting: '你好，我按商家规则和公告回答问题，并附上出处。',
  startersTitle: '可以这样问',
  starter1: '跨境店保证金要交多少？',
  starter2: '保税仓多久内要发货？',
  starter3: '被扣分了怎么申诉？',

  history: '对话记录',
  ask: '输入你的问题',
  send: '发送',
  stop: '停止回答',
  tooLong: '最多 {max} 字，现在 {n} 字。',
  newBelow: '下面有新内容',
  aiMark: '由 AI 生成，请以规则原文为准',

  waiting: '等待连接，连上后自动发送…',
  retrieving: '正在查找相关规则…',
  generating: '正在写回答…',
  generatingFrom: '找到 {n} 条相关规则，正在写回答…',
  stopping: '正在停止…',
  reasoning: '思考过程',

  you: '你问',
  sources: '来源',
  sourceOf: '来源 {n}：{title}',
  moreSources: '还找到 {n} 条',
  suggestions: '接着问',
  copy: '复制',
  copied: '已复制',
  again: '重新提问',
  cancelled: '已停止。',
  incomplete: '回答没有写完。',
  lost: '连接中断，这条回答没有收完。',
  failed: '没能给出回答：{why}',
  refused: '这条没有发出：{why}',
  retry: '重试',
  answered: '回答完毕，附 {n} 条来源。',

  sheetOf: '规则原文',
  sheetError: '没能取到原文，下面是回答引用的片段。',
  sheetOpen: '打开出处网页',
  category: '分类',
  market: '站点',
  validity: '有效期',
  expired: '已失效',
  notYet: '未生效',
  origin: '出处',

  reload: '刷新页面',
  connectNow: '现在重连',
  continueHere: '在这里继续',
  close4400: '页面和服务的版本不一致。刷新后就能继续，对话会保留。',
  close4401: '没有通过身份验证。请刷新页面；仍然不行时，请联系管理员检查接入密钥。',
  close4403: '这个网站还没有开通助手。请联系管理员允许 {origin}。',
  slow: '网络较慢，正在重新连接。',
  close4409: '这个对话已经在另一个窗口继续。',
  close4429: '请求太频繁，约 {s} 秒后自动恢复。',
  close1009: '内容太长，没有发出，已放回输入框。请缩短后再发。',
  unreachable: '连不上服务，正在重试。请检查网络；网络正常时，请联系管理员。',

  busy: '现在有点忙，请稍等片刻再试。',
  unavailable: '服务暂时不可用，请稍后再试。',
};

export type Words = typeof zh;

const en: Words = {
  name: 'Merchant assistant',

  online: 'Online',
  connecting: 'Connecting…',
  reconnecting: 'Connection lost, reconnecting…',
  offline: 'You are offline',
  stopped: 'Not connected',

  fresh: 'New conversation',
  menu: 'More',
  close: 'Close',
  model: 'Answering model',
  modelAuto: 'Default',

  greeting: 'Hello. I answer from the merchant rules and notices, and show the source of each answer.',
  startersTitle: 'Try asking',
  starter1: 'How much is the deposit for a cross-border shop?',
  starter2: 'When do I have to ship from a bonded warehouse?',
  starter3: 'How do I appeal a penalty?',

  history: 'Conversation',
  ask: 'Ask a question',
  send: 'Send',
  stop: 'Stop answering',
  tooLong: 'Up to {max} characters; this is {n}.',
  newBelow: 'New text below',
  aiMark: 'Made by AI; the rule text prevails',

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
  copy: 'Copy',
  copied: 'Copied',
  again: 'Ask again',
  cancelled: 'Stopped.',
  incomplete: 'The answer was cut short.',
  lost: 'The connection was lost before this answer was complete.',
  failed: 'No answer this time: {why}',
  refused: 'This was not sent: {why}',
  retry: 'Try again',
  answered: 'Answer complete. Sources: {n}.',

  sheetOf: 'The rule itself',
  sheetError: 'The full rule could not be loaded. Below is the part the answer used.',
  sheetOpen: 'Open the source page',
  category: 'Category',
  market: 'Market',
  validity: 'Valid',
  expired: 'expired',
  notYet: 'not in force yet',
  origin: 'Source',

  reload: 'Reload the page',
  connectNow: 'Connect now',
  continueHere: 'Continue here',
  close4400: 'The page and the service are on different versions. Reload the page; the conversation stays.',
  close4401: 'Access could not be verified. Reload the page; if that does not help, ask the administrator to check the access key.',
  close4403: 'The assistant is not enabled for this site yet. Ask the administrator to allow {origin}.',
  slow: 'The network is slow. Connecting again.',
  close4409: 'This conversation continues in another window.',
  close4429: 'Too many requests. This resumes by itself in about {s} seconds.',
  close1009: 'The text was too long to send and is back in the box. Shorten it and send again.',
  unreachable: 'The service cannot be reached; trying again. Check your network; if it works, ask the administrator.',

  busy: 'Busy right now. Wait a moment and try again.',
  unavailable: 'The service is not available right now. Try again shortly.',
};

export const words: Record<Lang, Words> = { zh, en };

/** What to tell the merchant about an error: our words where waiting helps, else the server's sentence. */
export function why(say: Words, error: { code: string; message: string; retryable?: boolean } | undefined): string {
  if (/rate_limited$/.test(error?.code ?? '')) return say.busy;
  return error?.retryable || !error?.message ? say.unavailable : error.message;
}
