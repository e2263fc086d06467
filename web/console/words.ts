// All words of the console in both languages, page by page; one type, so that none is missing in either.

import type { Lang } from '../shared/i18n';
import * as access from './words/access';
import * as base from './words/base';
import * as channels from './words/channels';
import * as conversations from './words/conversations';
import * as evaluation from './words/evaluation';
import * as knowledge from './words/knowledge';
import * as overview from './words/overview';
import * as problems from './words/problems';
import * as prompts from './words/prompts';
import * as safety from './words/safety';
import * as tryIt from './words/try';

const zh = { ...base.zh, ...problems.zh, ...knowledge.zh, ...tryIt.zh, ...conversations.zh, ...access.zh, ...overview.zh, ...prompts.zh, ...channels.zh, ...evaluation.zh, ...safety.zh };

export type Words = typeof zh;

const en: Words = { ...base.en, ...problems.en, ...knowledge.en, ...tryIt.en, ...conversations.en, ...access.en, ...overview.en, ...prompts.en, ...channels.en, ...evaluation.en, ...safety.en };

export const words: Record<Lang, Words> = { zh, en };
